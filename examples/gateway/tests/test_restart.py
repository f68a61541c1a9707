"""A restarted server loses nothing, because its state is in Redis and Kubernetes."""

from __future__ import annotations

import threading
from dataclasses import replace

from envkit.suite import eventually


def test_a_new_server_knows_what_the_old_one_saw(serve, settings, caller, alert, envkit_namespace, requests_in):
    first = serve()
    same = alert()
    made = caller.send(same, url=first.url)
    first.stop()
    again = caller.send(same, url=serve().url)
    assert (again.status, again.body["request"]) == (202, made.body["request"])
    assert len(requests_in(envkit_namespace)) == 1


def test_it_takes_its_old_port_at_once(serve, settings, caller, alert):
    first = serve()
    assert caller.send(alert(), url=first.url).status == 201
    first.stop()
    second = serve(replace(settings, port=first.port))
    assert second.url == first.url
    caller.close()
    assert caller.send(alert(), url=second.url).status == 201


def test_a_call_under_way_is_finished(serve, settings, caller, alert, line, envkit_namespace, requests_in):
    server = serve(replace(settings, redis_url=f"redis://127.0.0.1:{line.port}/0", redis_timeout=60.0))
    line.hold()  # keeps the call in progress until `resume`
    said = []
    call = threading.Thread(target=lambda: said.append(caller.send(alert(), url=server.url)))
    call.start()
    eventually(lambda: line.waiting, what="the call has reached Redis")
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    eventually(lambda: not server.accepting, what="the server accepts no new call")
    line.resume()
    call.join(60)
    stopping.join(60)
    assert [one.status for one in said] == [201]
    assert len(requests_in(envkit_namespace)) == 1
