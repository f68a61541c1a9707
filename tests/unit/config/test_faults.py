"""Tests of each kind of fault: a plain message with the file that contains it, and all faults in one report."""

# ruff: noqa: E501  one line a case
import re
from pathlib import Path

import pytest

from envkit.base.errors import ConfigError
from envkit.config.load import Request, load


def faults(folder: Path, text: str, **more: str) -> list[str]:
    (folder / "envkit.yaml").write_text(text)
    for name, content in more.items():
        (folder / f"{name}.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        load(Request(cwd=folder, environ={}))
    assert caught.value.exit_code == 2
    return [str(fault) for fault in caught.value.faults]


NAMES = "expected lower-case letters, digits and dashes, at most 40, a letter or digit first and last"
UNPUBLISHED = "expected a host port, or auto: a probe or an exported variable reaches this port from the host"

ONE_BY_ONE = [
    # unknown keys
    ("timout: 3", "timout: unknown key; did you mean 'timeout'? known here: cluster, credentials, engine, exports, extends, images, "),
    ("root: /x", "root: unknown key: envkit sets it itself"),
    ("extend: base", "extend: unknown key; did you mean 'extends'?"),
    ("cluster: {limits: {inflite: 1}}", "cluster.limits.inflite: unknown key; did you mean 'inflight'?"),
    ("services: {a: {image: x, prots: {}}}", "services.a.prots: unknown key; did you mean 'ports'?"),
    (
        "services: {a: {image: x, ports: {p: '2000:1'}, probe: {type: http, paht: /}}}",
        "services.a.probe.paht: unknown key; did you mean 'path'? known here: headers, path, port, scheme, status, type",
    ),
    # wrong types
    ("engine: dokcer", "engine: expected one of auto, docker, podman; found 'dokcer'; did you mean 'docker'?"),
    ("cluster: knd", "cluster.type: expected one of kind, envtest, existing, none; found 'knd'; did you mean 'kind'?"),
    ("name: Bad_Name", f"name: {NAMES}; found 'Bad_Name'"),
    ("name: evidence", "name: 'evidence' is the name of a folder that envkit keeps after environments are removed"),
    ("timeout: soon", "timeout: expected a duration such as 500ms, 30s or 2m, found 'soon'"),
    ("timeout: -1", "timeout: expected a duration such as 500ms, 30s or 2m; found -1"),
    ("port_offset: x", "port_offset: expected a whole number from 0 to 50000 or 'auto'; found 'x'"),
    ("services: [a]", "services: expected a mapping; found a list"),
    ("services: {a: x}", "services.a: expected a mapping; found 'x'"),
    ("services: {A: {image: x}}", f"services.A: {NAMES}; found 'A'"),
    ("services: {a: {image: x, env: {1A: x}}}", "services.a.env.1A: expected a variable's name: letters, digits and "),
    ("services: {a: {image: x, memory: big}}", "services.a.memory: expected a size such as 512MiB or 2GiB, found 'big'"),
    ("services: {a: {image: x, command: {a: b}}}", "services.a.command: expected text or a list; found a mapping"),
    ("services: {a: {image: x, command: [[a]]}}", "services.a.command[0]: expected text"),
    ("services: {a: {image: x, once: maybe}}", "services.a.once: expected true or false; found 'maybe'"),
    ("services: {a: {image: x, ports: {p: {host: 2000}}}}", "services.a.ports.p.container: is missing; expected a whole "),
    ("services: {a: {image: x, probe: {type: htp}}}", "services.a.probe.type: expected one of audit, command, exec, http, "),
    ("services: {a: {image: x, probe: {path: /}}}", "services.a.probe.type: is missing; expected one of audit, "),
    ("services: {a: {image: x, probe: http}}", "services.a.probe: expected a mapping with a type"),
    ("services: {a: {image: x, files: [{path: rel, content: a}]}}", "services.a.files[0].path: expected an absolute path; "),
    ("services: {a: {image: x, files: {rel: {content: a}}}}", "services.a.files: expected absolute paths as keys; found rel"),
    ("services: {a: {image: x, files: {/a: {content: a, mdoe: 1}}}}", "services.a.files./a.mdoe: unknown key; did you mean 'mode'?"),
    ("services: {a: {image: x, files: {/a: {source: no}}}}", "services.a.files./a.source: expected a file; "),
    ("services: {a: {image: x, files: [{path: /a, content: '', owner: me}]}}", "services.a.files[0].owner: expected a uid such as 1001, or uid:gid or a whole number; found 'me'"),
    ("services: {a: {image: x, files: [{path: /a, content: ''}, {path: /a, content: ''}]}}", "services.a.files[1].path: /a is also the path of files[0]"),
    ("services: {a: {image: x, files: {/a: {content: 'b: 1', set: {b.c: 1}}}}}", "services.a.files./a.set.b.c: b.c: b is a single value in the file, not a mapping"),
    ("services: {a: {image: x, files: {/a: {content: '[', set: {b.c: 1}}}}}", "services.a.files./a.content: the text is not YAML: "),
    ("services: {a: {image: x, files: {/a.json: {content: '{', set: {b: 1}}}}}", "services.a.files./a.json.content: the text is not JSON: "),
    ("services: {a: {image: x, files: {/a: {set: {b: '${c.port}'}}}}}", "services.a.files./a.set.b: ${c.port}: means nothing here"),
    ("services: {a: {image: x, files: {/a: {set: {b: 1}, mode: '${a.port}'}}}}", "services.a.files./a.mode: expected a file mode such as 0644 or a whole number; found '${a.port}'"),
    # identities, certificates, secrets
    ("services: {a: {image: x, kubeconfig: i, needs: cluster}}\ncluster: envtest", "services.a.kubeconfig: there is no identity 'i'; there are: none"),
    ("services: {a: {image: x, service_account: i, needs: cluster}}\ncluster: {type: envtest, identities: {j: {namespace: n}}}",
     "services.a.service_account: there is no identity 'i'; there are: j"),
    ("services: {a: {image: x, service_account: i}}\ncluster: {type: envtest, identities: {i: {namespace: n}}}",
     "services.a.needs: expected cluster among them, because `service_account` needs the API server"),
    ("services: {a: {image: x, kubeconfig: i}}", "services.a.kubeconfig: there is no cluster (cluster: none)"),
    ("services: {a: {image: x, kubeconfig: i, needs: cluster}}\ncluster: {type: envtest, identities: {i: {namespace: n, token: none}}}",
     "services.a.kubeconfig: identity i has no token (token: none)"),
    ("services: {a: {once: true, host_command: x, certificates: /c}}", "services.a.certificates: envkit puts no files into a host command or migration"),
    ("services: {a: {image: x, certificates: rel}}", "services.a.certificates"),
    ("services: {a: {image: x, env: {A: '${secret.b}'}}}", "services.a.env.A: ${secret.b}: means nothing here"),
    ("services: {a: {image: x, env: {A: '${env.ca_file}'}}}", "services.a.env.A: ${env.ca_file}: means nothing here"),
    ("secrets: {a: {length: 3}}", "secrets.a.length: expected a whole number from 16 to 256; found a value (not shown)"),
    ("services: {secret: {image: x}}", "services.secret: 'secret' has a special meaning"),
    # images
    ("services: {a: {image: ['x:${NOT}', '${NO}/y']}}", "services.a.image: no candidate is left: x:${NOT}: NOT is not set; ${NO}/y: NO is not set"),
    ("services: {a: {image: 'x:${NOT}'}}", "services.a.image: the variable NOT is not set"),
    ("services: {a: {image: ['x:${NOT', y]}}", "services.a.image[0]: '${NOT' is not closed, or nested"),
    ("services: {a: {image: x, files: [{path: /a}]}}", "services.a.files[0]: expected one of content and source, or set"),
    ("services: {a: {image: x, files: [{path: /a, content: x, source: y}]}}",
     "services.a.files[0]: expected exactly one of content and source"),
    ("cluster: {kubernetes: latest}", "cluster.kubernetes: expected a version such as 1.31.2; found 'latest'"),
    ("extends: 3", "extends: expected a profile's name, a file, or a list of them"),
    # the type of a service
    ("services: {a: {}}", "services.a: expected exactly one of image/build/process, host_command and migrations"),
    ("services: {a: {host_command: x}}", "services.a: host_command and migrations need once: true"),
    ("services: {a: {preset: rediss}}", "services.a.preset: expected one of redis, postgres, datastorage; found 'rediss'"),
    ("services: {self: {image: x}}", "services.self: 'self' has a special meaning in references"),
    # ports
    ("services: {a: {image: x, ports: {p: '80:80'}}}", "services.a.ports.p.host: expected a whole number from 1024 to 65535"
     " or 'auto'; found '80', which is privileged"),
    ("services: {a: {image: x, ports: {p: '2000:1', q: '2000:2'}}}", "services.a.ports.q.host: host port 2000 is already "
     "used by a.p"),
    ("cluster: {ports: [{node: 1, host: 2000}]}\nservices: {a: {image: x, ports: {p: '2000:1'}}}",
     "cluster.ports[0].host: host port 2000 is already used by a.p"),
    ("port_offset: 50000\nservices: {a: {image: x, ports: {p: '20000:1'}}}",
     "services.a.ports.p.host: host port 20000 + offset 50000 = 70000 is beyond 65535"),
    ("cluster: {ports: [{node: 1, host: 2000}, {node: 1, host: 2001}]}", "cluster.ports[1].node: port 1 of the node is "),
    # needs
    ("services: {a: {image: x, needs: bb}, bbb: {image: x}}", "services.a.needs[0]: there is no service 'bb'; did you mean "
     "'bbb'? There are: bbb, cluster"),
    ("cluster: none\nservices: {a: {image: x, needs: cluster}}", "services.a.needs[0]: there is no cluster (cluster: none)"),
    ("services: {a: {image: x, needs: a}}", "services.a.needs: these services need each other: a -> a"),
    # references
    ("services: {a: {image: x, env: {V: '${b.host}'}}}", "services.a.env.V: ${b.host}: means nothing here"),
    ("services: {a: {image: x, command: ['${a.prot}']}}", "services.a.command[0]: ${a.prot}: expected one of a.host, a.port"),
    ("services: {a: {image: x, env: {V: '${self.port}'}}}", "services.a.env.V: ${self.port}: a has no ports"),
    ("services: {a: {image: x, env: {V: '${self.env.V}'}}}", "services.a.env.V: ${self.env.V}: refers to itself: a.env.V"),
    ("services: {a: {image: x, env: {V: '${self.env.W|html}', W: w}}}", "services.a.env.V: ${self.env.W}: there is no "
     "filter |html; expected |url"),
    ("services: {a: {image: x, files: [{path: /f, content: '${b.env.X}'}]}}", "services.a.files[0].content: ${b.env.X}: "),
    ("services: {a: {image: x, exports: {V: '${cluster.kubeconfig}'}}}", "services.a.exports.V: ${cluster.kubeconfig}: "),
    ("exports: {V: '${self.host}'}", "exports.V: ${self.host}: self has no meaning outside a service"),
    ("cluster: {identities: {i: {namespace: n, token: none}}}\nexports: {V: '${identity.i.token}'}",
     "exports.V: ${identity.i.token}: means nothing here"),
    ("services: {a: {image: '${a.host}'}}", "services.a.image: ${a.host} is a reference, and none is resolved here"),
    ("services: {a: {image: x, ports: {p: {container: 1}}, exports: {V: '${self.port}'}}}", f"services.a.ports.p: {UNPUBLISHED}"),
    # variables
    ("name: ${MINE}", "name: the variable MINE is not set; set it, or write ${MINE:-default}"),
    ("services: {a: {image: x, env: {V: '${A:?b}'}}}", "services.a.env.V: '${A:?b}' cannot be understood; expected ${NAME}"),
    ("services: {a: {image: x, command: [sh, -c, '${OPEN']}}", "services.a.command[2]: '${OPEN' is not closed"),
    ("services: {r: {preset: redis, ports: {redis: auto}, options: {maxmemory: '${M}'}}}", "services.r.options.maxmemory: the "),
    # files
    ("services: {a: {build: {context: no}}}", "services.a.build.context: expected a folder; "),
    ("services: {a: {build: {context: .}}}", "services.a.build.dockerfile: expected a file; "),
    ("services: {a: {image: x, files: [{path: /f, source: no}]}}", "services.a.files[0].source: expected a file; "),
    ("cluster: {manifests: [no]}", "cluster.manifests[0]: expected a file or folder of manifests; "),
    ("cluster: {type: existing}", "cluster.kubeconfig: is missing; expected the existing cluster's file"),
    ("cluster: {type: existing, kubeconfig: no}", "cluster.kubeconfig: expected a file; "),
    # exports
    ("services: {a: {image: x, exports: {V: 1}}, b: {image: x, exports: {V: 2}}}", "services.b.exports.V: the variable V is "
     "exported by a already"),
    ("cluster: {identities: {i: {namespace: n, token: {variable: T}}}}\nservices: {a: {image: x, exports: {T_FILE: 1}}}",
     "cluster.identities.i.token.variable: the variable T_FILE is exported by a already"),
    # probes
    ("services: {a: {image: x, ports: {web: auto}, probe: {type: tcp, port: wbe}}}",
     "services.a.ports.web.container: is missing"),
    ("services: {a: {image: x, ports: {web: '2000:1'}, probe: {type: tcp, port: wbe}}}",
     "services.a.probe.port: there is no port 'wbe'; did you mean 'web'?; the service has: web"),
    ("services: {a: {image: x, probe: {type: tcp}}}", "services.a.probe.port: the probe needs a port; the service has: none"),
    ("services: {a: {image: x, ports: {p: {container: 1}}, first_probe: {type: audit}}}", f"services.a.ports.p: {UNPUBLISHED}"),
    # migrations
    ("services: {a: {image: x}, m: {once: true, migrations: {folder: datastorage, service: a}, needs: a}}",
     "services.m.migrations.service: expected a service with a postgres probe, which has the login; a has none"),
    ("services: {m: {once: true, migrations: {folder: datastorage}}}", "services.m.migrations.service: there is no service "
     "'postgres'"),
    ("services: {p: {preset: postgres, ports: {postgres: '2000:1'}}, m: {once: true, migrations: {folder: datastorage, "
     "service: p}}}", "services.m.needs: expected p among them"),
    # identities
    ("cluster: {identities: {i: {namespace: n, rules: [{resources: pods, verbs: get}]}}}", "cluster.identities.i.role: is "
     "missing; expected a name for the ClusterRole"),
    ("cluster: {identities: {i: {namespace: n, can: [{verb: get, resource: pods}]}}}", "cluster.identities.i.role: is "
     "missing; `can` and `namespaces` need"),
    ("cluster: {identities: {i: {namespace: n, role: r, rules: [{resources: pods, verbs: []}]}}}",
     "cluster.identities.i.rules[0]: expected at least one verb and one resource"),
    ("cluster: {identities: {i: {namespace: n}, j: {namespace: n, account: i}}}", "cluster.identities.j.account: n/i is "),
    ("cluster: {identities: {i: {namespace: n, role: r, rules: [{resources: a, verbs: get}]}, j: {namespace: n, role: r, "
     "rules: [{resources: b, verbs: get}]}}}", "cluster.identities.j.rules: differ from those of i"),
    ("cluster: {identities: {i: {namespace: n, role: r, can: [{verb: get, resource: a}], cannot: [{verb: get, resource: a}]}}}",
     "cluster.identities.i.cannot[0]: is also a question of `can`"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ONE_BY_ONE, ids=[expected[:40] for _, expected in ONE_BY_ONE])
def test_one_mistake_is_one_fault(tmp_path: Path, text: str, expected: str) -> None:
    found = faults(tmp_path, text + "\n")
    assert len(found) == 1, found
    assert found[0].startswith("envkit.yaml: " + expected), found[0]


def test_a_circle_of_needs_is_shown(tmp_path: Path) -> None:
    text = "services: {a: {image: x, needs: b}, b: {image: x, needs: c}, c: {image: x, needs: a}}"
    (found,) = faults(tmp_path, text)
    assert "these services need each other: " in found
    first = found.rpartition(": ")[2]
    assert first in ("a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c")


def test_syntax_and_duplicates_name_the_file(tmp_path: Path) -> None:
    assert faults(tmp_path, "extends: other\n", other="a: [1\n")[0].startswith(
        "other.yaml: line 2, column 1: not valid YAML"
    )
    assert faults(tmp_path, "timeout: 3\ntimeout: 4\n") == [
        "envkit.yaml: timeout: is written twice, on lines 1 and 2; keep one of them"
    ]


def test_each_fault_names_the_file_that_wrote_the_value(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        "extends: low\nservices: {a: {ports: {q: '2000:2'}}}\n",
        low="services: {a: {image: x, memory: big, ports: {p: '2000:1'}}}\n",
        **{"envkit.local": "services: {a: {workdri: /}}\n"},
    )
    assert [fault.partition(": unknown")[0].partition(": expected")[0] for fault in found] == [
        "low.yaml: services.a.memory",
        "envkit.yaml: services.a.ports.q.host: host port 2000 is already used by a.p",
        "envkit.local.yaml: services.a.workdri",
    ]


def test_flags_and_variables_are_named(tmp_path: Path) -> None:
    (tmp_path / "envkit.yaml").write_text("services: {a: {image: x}}\n")
    request = Request.of({"ENVKIT_PORT_OFFSET": "abc", "ENVKIT_LANE": "fast"}, tmp_path, name="A B", sets=["timeuot=3"])
    with pytest.raises(ConfigError) as caught:
        load(request)
    assert {fault.file for fault in caught.value.faults} == {
        "ENVKIT_PORT_OFFSET", "ENVKIT_LANE", "--name", "--set timeuot",
    }  # fmt: skip


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    text = "services: {p: {preset: postgres, ports: {postgres: auto}, probe: {type: postgres, password: [hunter2]}}}"
    assert "hunter2" not in "".join(faults(tmp_path, text))


def test_all_faults_at_once(tmp_path: Path) -> None:
    text = """
        name: Bad_Name
        engine: dokcer
        timout: 3
        cluster: {type: existing, manifests: [nope], ports: [{node: 30080, host: 80}, {node: 2, host: 15437}]}
        services:
          redis: {preset: redis, ports: {redis: 16380}, options: {polcy: x}}
          a: {image: x, needs: [b, reds], env: {X: "${reds.host}", Y: "${MISSING}"}, probe: {type: htp}}
          b: {image: x, needs: a, memory: big, ports: {p: '15437:1'}}
          c: {build: {context: nothere}, command: {a: b}, exports: {REDIS_URL: x}}
          f: {image: x, files: [{path: rel, content: a}, {path: /x, source: no.txt}]}
    """
    found = {re.match(r"envkit.yaml: ([^ ]*):", fault)[1] for fault in faults(tmp_path, text)}  # type: ignore[index]  # no match fails the test
    assert found == {
        "name", "engine", "timout", "cluster.kubeconfig", "cluster.manifests[0]", "cluster.ports[0].host",
        "cluster.ports[1].host", "services.redis.options.polcy", "services.a.needs[1]", "services.a.env.X",
        "services.a.env.Y", "services.a.probe.type", "services.a.needs", "services.b.memory", "services.c.command",
        "services.c.build.context", "services.c.exports.REDIS_URL", "services.f.files[0].path",
        "services.f.files[1].source",
    }  # fmt: skip


def test_what_only_follows_from_a_fault_is_not_said(tmp_path: Path) -> None:
    text = """
        services:
          a: {image: x, memory: big, ports: {p: {host: 2000}}, probe: {type: tcp, port: p}}
          b: {image: x, needs: a, env: {URL: "${a.ports.p}"}}
    """
    assert [fault.partition(" expected")[0] for fault in faults(tmp_path, text)] == [
        "envkit.yaml: services.a.memory:",
        "envkit.yaml: services.a.ports.p.container: is missing;",
    ]
