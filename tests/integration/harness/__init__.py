"""What the integration tests and the benchmarks stand on.

wait      deadlines and conditions
fastcgi   a raw FastCGI client, written from the FastCGI specification
http      a raw HTTP/1.1 client for streams through a web server
sse       the WHATWG event stream parser, and a client that resumes by id
process   a program under test: started, watched, stopped, examined
site      one installation: folder, configuration, database, programs
publish   events and deliveries: foreign writers, signed URLs
nginx     the real web server in front
"""
