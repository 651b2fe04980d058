#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""Nova and Cinder, by their own code, and many calls at once."""

import os
import signal
import threading

import pytest

from castellan_kmip import helper
from tests import conftest

SERVICE = '''
[keystone_authtoken]
auth_url = http://127.0.0.1:1/v3
username = cinder
password = secret
user_domain_name = Default
project_name = service
project_domain_name = Default
'''


# Whose tokens are none: in standalone mode nobody looks at them. tests/ of the
# whole stack has the same flows with Keystone's.
USERS = [{'user_id': user, 'project_id': project, 'auth_token': 't',
          'is_admin': False, 'roles': ['member']}
         for user, project in (('u', 'p'), ('u2', 'p2'), ('u', 'p'))]


def test_cinder(peer):
    confs = [peer.write_conf('cinder', mode, more=SERVICE)
             for mode in ('exec', 'session')]
    done = conftest.run_program('cinder_flows.py', *confs, told=USERS)
    assert len(done) == 8


def test_nova(peer):
    confs = [peer.write_conf('nova', mode) for mode in ('exec', 'session')]
    done = conftest.run_program('nova_flows.py', *confs, told=USERS)
    assert len(done) == 34


def test_green_threads(peer, mode):
    pauses = conftest.run_program(
        'green.py', peer.write_conf('green', mode), '20')
    print('%s, %s: longest pauses %s ms' % (peer.kind, mode, pauses))
    # A start of a process holds up all green threads, and on a busy machine
    # it may take any time: how long is for tests/bench to tell.
    assert len(pauses) == 5


@pytest.mark.parametrize('kind', ['debugged', 'late', 'native'])
def test_mixed_threads(mock, mode, kind):
    conf = mock.write_conf('mixed', mode, timeout=8)
    assert conftest.run_program(
        'mixed.py', conf, kind, timeout=12) == 'done'


def at_once(calls, call):
    """The results of so many threads' calls, in order."""
    results = [None] * calls

    def run(n):
        try:
            results[n] = call(n)
        except Exception as e:
            results[n] = e

    threads = [threading.Thread(target=run, args=(n,)) for n in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    return results


def test_200_calls_at_once(mock, mode, tmp_path):
    manager = conftest.make_manager(tmp_path, mock.options(mode))
    ids = at_once(200, lambda n: manager.create_key(
        None, 'AES', 256, name=str(n)))
    assert len(set(ids)) == 200
    found = at_once(200, lambda n: manager.get(None, ids[n]).name)
    assert found == [str(n) for n in range(200)]
    assert at_once(200, lambda n: manager.delete(None, ids[n])) == [None] * 200


@pytest.mark.parametrize('threads', [1, 8])
def test_session_with_helpers_killed(mock, tmp_path, threads):
    manager = conftest.make_manager(tmp_path, mock.options('session'))
    ids = [manager.create_key(None, 'AES', 256, name=str(n))
           for n in range(10)]
    lock = threading.Lock()
    calls = [0]

    def gets(_n):
        wrong = 0
        for _ in range(1000 // threads):
            with lock:
                calls[0] += 1
                n = calls[0]
                if n % 50 == 0:
                    for kept in list(helper._running):
                        os.kill(kept._process.pid, signal.SIGKILL)
            wrong += manager.get(None, ids[n % 10]).name != str(n % 10)
        return wrong

    assert at_once(threads, gets) == [0] * threads
    for key_id in ids:
        manager.delete(None, key_id)


def test_session_after_the_server_went(tmp_path_factory, tmp_path):
    peer = conftest.Peer('mock', tmp_path_factory.mktemp('short'))
    manager = conftest.make_manager(
        tmp_path, peer.options('session', max_retries=0))
    try:
        manager.create_key(None, 'AES', 256)
        peer.stop()
        with pytest.raises(Exception, match='not available'):
            manager.create_key(None, 'AES', 256)
    finally:
        peer.stop()
