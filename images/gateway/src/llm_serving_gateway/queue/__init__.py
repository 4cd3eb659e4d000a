"""Requests without a connection: submitted, kept in Redis, sent by workers, and read when there is time.

A request is a task: a hash with what is asked, and an entry of a Redis stream that leads a worker to it. A worker takes
it, sends it through the same application as a client's (:mod:`.worker`), and writes its result, ends the entry and
counts in one script (:mod:`.scripts`), so that a result is there once, however often a worker died on the way. A file
of requests in OpenAI's batch form (:mod:`.batches`) is expanded to one task a line.

Taskiq, arq and SAQ were looked at. Each acknowledges a task and writes its result in steps of their own, so that a
worker that dies between them shows it twice or never; none bounds a queue, counts its bytes, or knows of owners.
"""
