# SPDX-License-Identifier: ISC
# jobwire for Ruby on Rails, over HTTP: docs/migrate.md. Put it into lib/.
# Standard library only; Ruby 2.7 and later.

require "json"
require "net/http"
require "openssl"
require "securerandom"
require "uri"

class Jobwire
  class Error < StandardError; end

  # Keys as in the settings: the text, or @FILE.
  def initialize(url, key:, jwt_key:)
    @url, @key, @jwt_key = url.chomp("/"), text_of(key)[/[^,\s]+/], text_of(jwt_key)
  end

  # The event is on the disk. With the same idempotency_key: once.
  def publish(job, type, data = {}, idempotency_key: SecureRandom.hex)
    post("/jobs/#{job}/events", { type: type, data: data }, @key, "Idempotency-Key" => idempotency_key)
  end

  # A job of this owner; its id.
  def register(owner, job = SecureRandom.hex)
    post("/jobs", { job_id: job, owner: owner }, @key)["job_id"]
  end

  # For `events_auth = ticket`: one request of this user's page.
  def ticket(sub)
    post("/tickets", {}, token(sub))["ticket"]
  end

  # A JSON Web Token, good for an hour.
  def token(sub)
    claims = { sub: sub, iat: Time.now.to_i, exp: Time.now.to_i + 3600, jti: SecureRandom.hex }
    message = [{ alg: "HS256", typ: "JWT" }, claims].map { |part| encode(part.to_json) }.join(".")
    "#{message}.#{encode(OpenSSL::HMAC.digest("SHA256", @jwt_key, message))}"
  end

  private

  def text_of(key)
    key.start_with?("@") ? File.read(key[1..]).strip : key
  end

  def encode(bytes)
    [bytes].pack("m0").tr("+/", "-_").delete("=")
  end

  def post(path, body, bearer, headers = {})
    headers = { "Authorization" => "Bearer #{bearer}", "Content-Type" => "application/json" }.merge(headers)
    answer = Net::HTTP.post(URI(@url + path), body.to_json, headers)
    return JSON.parse(answer.body) if answer.is_a?(Net::HTTPSuccess)

    raise Error, "#{path}: #{answer.code} #{answer.body}"
  end
end
