"""What the integration tests and the benchmarks stand on.

wait      deadlines and conditions
fastcgi   a raw FastCGI client, written from the FastCGI specification
http      a raw HTTP/1.1 client for streams through a web server
sse       the WHATWG event stream parser, and a client that resumes by id
process   a program under test: started, watched, stopped, examined
site      one installation: folder, configuration, database, programs
publish   events and deliveries: foreign writers, signed URLs
inbound   calls of the writing half, and many of them at once
senders   providers that deliver without pause and send again
tmpfs     a file system that can be filled up
webserver a real web server in front: nginx, apache, lighttpd
http2     an HTTP/2 client, which is curl
tokens    JSON Web Tokens, good and bad
redis     Redis or Valkey: started, killed, emptied, promoted
network   a network of its own for each node, with links that can be cut
cluster   nodes with all their programs, pages that move, and a judge
leaks     secrets of a whole run, and all that was written during it
"""
