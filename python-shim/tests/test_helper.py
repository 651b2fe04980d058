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

"""What a helper may do wrong, in both modes."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

from castellan.common import exception
from oslo_config import cfg
import pytest

from castellan_kmip import helper
from castellan_kmip import key_manager
from tests import conftest

ID = '6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11'
OBEY = '''
while True:
    answer(read(), {'object': dict(KEY, id=str(os.getpid()))})
'''


def fails(call, *words):
    with pytest.raises(exception.KeyManagerError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


def test_missing(fake, mode):
    manager = fake.manager(mode)
    fails(lambda: manager.get(None, ID), fake.helper, 'No such file')


def test_missing_on_path(fake, mode, monkeypatch):
    monkeypatch.setenv('PATH', fake.path)
    manager = fake.manager(mode)
    manager.conf.clear_override('helper', 'kmip')
    manager.conf.set_override('helper', '', 'kmip')
    fails(lambda: manager.get(None, ID), 'kmip-keymgr-helper', 'No such file')


def test_found_on_path(fake, mode, monkeypatch):
    fake.plays(OBEY)
    os.rename(fake.helper, os.path.join(fake.path, 'kmip-keymgr-helper'))
    monkeypatch.setenv('PATH', fake.path)
    manager = fake.manager(mode)
    manager.conf.set_override('helper', None, 'kmip')
    assert manager.get(None, ID).bit_length == 8


def test_not_executable(fake, mode):
    fake.plays(OBEY)
    os.chmod(fake.helper, 0o644)
    fails(lambda: fake.manager(mode).get(None, ID), 'Permission denied')


def test_directory(fake, mode):
    manager = fake.manager(mode)
    manager.conf.set_override('helper', fake.path, 'kmip')
    fails(lambda: manager.get(None, ID), 'Permission denied')


def test_no_program(fake, mode):
    with open(fake.helper, 'w') as f:
        f.write('neither script nor binary')
    os.chmod(fake.helper, 0o755)
    fails(lambda: fake.manager(mode).get(None, ID), 'format')


@pytest.mark.parametrize('part, words', [
    ('sys.exit(7)', ('ended with status 7', 'not carried out')),
    ('read(); sys.exit(7)', ('ended with status 7', 'may have taken')),
    ('read(); os.kill(os.getpid(), 9)', ('killed by signal 9',)),
    ('read(); print("half", end="", flush=True); sys.exit(0)',
     ('ended with status 0',)),
    ('read(); os.close(0); os.close(1); time.sleep(60)', ('signal 9',)),
])
def test_ends(fake, mode, part, words, monkeypatch):
    monkeypatch.setattr(helper, '_GRACE', 0.3)
    fake.plays(part)
    manager = fake.manager(mode)
    fails(lambda: manager.create_key(None, 'AES', 256), 'create_key', *words)


def test_ends_a_moment_later(fake, mode, monkeypatch):
    """How it ended is told, and not that it was killed for being slow."""
    monkeypatch.setattr(helper, '_GRACE', 30)
    fake.plays('read(); os.close(0); os.close(1); time.sleep(0.1); '
               'os._exit(7)')
    fails(lambda: fake.manager(mode).create_key(None, 'AES', 256), 'status 7')


def test_ends_a_moment_behind_its_answer(fake, mode, monkeypatch):
    """Or what it has to say to the server at the end would not be said."""
    monkeypatch.setattr(helper, '_GRACE', 30)
    fake.plays('''
        answer(read(), {})
        sys.stdin.read()
        time.sleep(0.1)
        log('ended')
        ''')
    fake.manager(mode).delete(None, ID)
    helper._close_all()
    assert fake.log() == ['ended']


@pytest.mark.parametrize('part', [
    'print("panic: nonsense", flush=True)',
    'print("[]", flush=True)',
    'print("null", flush=True)',
    'print("[" * 100000, flush=True)',
    'send(id=r["id"])',
    'send(id=r["id"], result=[])',
    'send(id=r["id"], error="no")',
    'send(id=r["id"], error=None, result={"object": KEY})',
    'send(id=r["id"], error={"kind": "config"}, result={"object": KEY})',
    'sys.stdout.buffer.write(b"\\xff\\n"); sys.stdout.flush()',
    'print("debug: hello"); answer(r, {"object": KEY})',
    'print(json.dumps({"id": r["id"], "result": {"object": KEY}}), "{}",'
    ' flush=True)',
])
def test_nonsense(fake, mode, part):
    fake.plays('r = read()\n%s\ntime.sleep(60)' % part)
    fails(lambda: fake.manager(mode).get(None, ID), 'get_key', 'JSON')


def test_nonsense_has_no_secret(fake, mode):
    fake.plays('r = read()\nprint("value: c0ffee", flush=True)')
    assert 'c0ffee' not in fails(lambda: fake.manager(mode).get(None, ID))


@pytest.mark.parametrize('result', [
    '{}', '{"object": None}', '{"object": []}', '{"object": {}}',
    '{"object": dict(KEY, value="zz")}', '{"object": dict(KEY, type="x")}',
    '{"object": dict(KEY, created="now")}',
    '{"object": {name: KEY[name] for name in KEY if name != "id"}}',
])
def test_result_without_sense(fake, mode, result):
    fake.plays('answer(read(), %s)' % result)
    fails(lambda: fake.manager(mode).get(None, ID), 'helper answered with')


def test_request_without_end(fake, mode):
    fake.plays(OBEY)
    consumer = []
    for _ in range(100000):
        consumer = [consumer]
    fails(lambda: fake.manager(mode).add_consumer(None, ID, consumer))


def test_request_that_json_does_not_have(fake, mode):
    fake.plays(OBEY)
    fails(lambda: fake.manager(mode).add_consumer(None, ID, {('a', 'b'): 1}),
          'add_consumer cannot be written')


@pytest.mark.parametrize('name', ['\ud800', 'volume \udcff'])
def test_name_that_is_no_text(fake, mode, name):
    fake.plays('log(sys.stdin.read())')
    with pytest.raises(exception.KeyManagerError) as caught:
        fake.manager(mode).create_key(None, 'AES', 8, name=name)
    assert fake.log() in ([], [''])
    error = caught.value
    while error is not None:  # Python's own holds all of the request
        assert not hasattr(error, 'object')
        error = error.__context__


class Shy(object):
    def __str__(self):
        raise LookupError('secret')


@pytest.mark.parametrize('name', [b'\xff', Shy()], ids=['bytes', 'shy'])
def test_name_that_cannot_be_read(fake, mode, name):
    fake.plays('log(sys.stdin.read())')
    text = fails(
        lambda: fake.manager(mode).create_key(None, 'AES', 8, name=name),
        'create_key cannot be written: %s is no text' % type(name).__name__)
    assert 'secret' not in text


class ShyDict(dict):
    def items(self):
        raise LookupError('secret')


def test_consumer_that_cannot_be_read(fake, mode):
    fake.plays('log(sys.stdin.read())')
    consumer = ShyDict(service='s')
    text = fails(lambda: fake.manager(mode).add_consumer(None, ID, consumer),
                 'add_consumer cannot be written: LookupError')
    assert 'secret' not in text


def test_name_of_bytes(fake, mode):
    fake.plays('''
        request = read()
        log(request['args']['name'])
        answer(request, {'key_id': 'an id'})
        ''')
    fake.manager(mode).create_key(None, 'AES', 8, name=b'vol')
    assert fake.log() == ['vol']


def test_name_is_sent_as_it_is(fake, mode):
    name = 'sch\xf6n \U0001f511 \u2028 "\\'
    fake.plays('''
        request = json.loads(sys.stdin.buffer.readline())
        log(request['args']['name'])
        answer(request, {'key_id': 'an id'})
        ''')
    fake.manager(mode).create_key(None, 'AES', 8, name=name)
    assert fake.log() == [name]


@pytest.mark.parametrize('name', ['timeout', 'helper'])
def test_options_in_a_circle(fake, name):
    with open(fake.path + '/nova.conf', 'w') as f:
        f.write('[kmip]\n%s = $%s\n' % (name, name))
    conf = cfg.ConfigOpts()
    conf(['--config-file', fake.path + '/nova.conf'], project='nova')
    fails(lambda: key_manager.KMIPKeyManager(conf).get(None, ID))


def test_endless_answer(fake, mode, monkeypatch):
    monkeypatch.setattr(helper, '_MAX_ANSWER', 1 << 20)
    fake.plays('read()\nwhile True: print("x" * 65536, end="")')
    fails(lambda: fake.manager(mode).get(None, ID), 'too long')


@pytest.mark.parametrize('other', ['"x"', 'None'])
def test_another_id(fake, mode, other):
    """What has no id is no answer, or a service might use another's key."""
    fake.plays('read()\nsend(id=%s, result={"object": KEY})\ntime.sleep(60)'
               % other)
    fails(lambda: fake.manager(mode).get(None, ID),
          'a request other than get_key')


@pytest.mark.parametrize('end', ['sys.exit(2)', 'time.sleep(60)'])
def test_error_without_id(fake, mode, end, monkeypatch):
    monkeypatch.setattr(helper, '_GRACE', 0.3)
    fake.plays('''
        send(id=None, error={'kind': 'invalid_request', 'message': 'usage'})
        %s
        ''' % end)
    manager = fake.manager(mode, timeout=8)
    for _ in range(2):  # such a helper is not asked again
        fails(lambda: manager.get(None, ID), 'usage', 'invalid_request')


@pytest.mark.parametrize('part', [
    'time.sleep(60)',
    'read(); time.sleep(60)',
    'signal.signal(15, signal.SIG_IGN); read(); time.sleep(60)',
    'read(); print("half", end="", flush=True); time.sleep(60)',
])
def test_hangs(fake, mode, part, short_margin):
    fake.plays(part)
    manager = fake.manager(mode, timeout=0.3)
    before = conftest.children()
    started = time.monotonic()
    fails(lambda: manager.delete(None, ID), 'delete_key', 'in time',
          'may have taken effect')
    assert time.monotonic() - started < 2
    assert conftest.children() == before


def test_never_reads(fake, mode, short_margin):
    fake.plays('time.sleep(60)')
    manager = fake.manager(mode, timeout=0.3)
    fails(lambda: manager.create_key(None, 'AES', 256, name='x' * (3 << 20)),
          'in time')


def test_deadline_that_is_over(fake, mode, monkeypatch):
    """However late a helper comes to be asked, the service is told why."""
    monkeypatch.setattr(helper, '_MARGIN', -1)
    fake.plays('time.sleep(60)')
    manager = fake.manager(mode, timeout=0.3)
    fails(lambda: manager.get(None, ID), 'in time')


def test_answer_at_the_deadline(fake, mode):
    """Then the helper says why it took so long, and is heard."""
    fake.plays('''
        r = read()
        time.sleep(r['deadline_ms'] / 1000)
        send(id=r['id'], error={'kind': 'unavailable', 'message': 'mute'})
        ''')
    fails(lambda: fake.manager(mode, timeout=0.1).get(None, ID), 'mute')


def test_large_values(fake, mode):
    fake.plays('''
        while True:
            r = read()
            answer(r, {'key_id': r['args']['name'][::-1]})
        ''')
    text = 'abc' * (1 << 19)
    manager = fake.manager(mode)
    assert manager.create_key(None, 'AES', 256, name=text) == text[::-1]


def test_deadline_is_sent(fake, mode, monkeypatch):
    monkeypatch.setattr(helper, '_MARGIN', 30)
    fake.plays('''
        while True:
            r = read()
            log(r['deadline_ms'])
            answer(r, {})
        ''')
    for timeout, most in (60, 60000), (0.0001, 1), (8e9, 86400000):
        began = time.monotonic()
        fake.manager(mode, timeout=timeout).delete(None, ID)
        took = int((time.monotonic() - began) * 1000) + 1
        assert max(most - took, 1) <= fake.log()[-1] <= most


@pytest.mark.parametrize('timeout', ['', 'soon', 'nan', 'inf', '-1', '1e10'])
def test_timeout_that_is_none(fake, mode, timeout):
    fake.plays(OBEY)
    fails(lambda: fake.manager(mode, timeout=timeout).get(None, ID),
          'timeout')


def test_helper_that_does_not_end(fake, monkeypatch):
    monkeypatch.setattr(helper, '_GRACE', 0.3)
    fake.plays('answer(read(), {"object": KEY})\ntime.sleep(60)')
    assert fake.manager().get(None, ID).bit_length == 8


def test_exec_is_one_process_a_call(fake):
    fake.plays(OBEY)
    manager = fake.manager()
    assert len({manager.get(None, ID).id for _ in range(3)}) == 3


def test_standard_input_ends(fake):
    fake.plays('r = read()\nassert sys.stdin.read() == ""\nanswer(r, {})')
    fake.manager().delete(None, ID)


def test_arguments_and_environment_hold_no_secret(fake, mode):
    fake.plays('''
        with open('/proc/self/cmdline') as f:
            log(f.read())
        with open('/proc/self/environ') as f:
            log(f.read())
        answer(read(), {})
        ''')
    fake.manager(mode, password='s3cret').delete(None, ID)
    arguments, environment = fake.log()
    assert 's3cret' not in arguments + environment
    assert '--config-file=%s/nova.conf' % fake.path in arguments


def test_answer_that_drips(fake, mode, short_margin):
    fake.plays('''
        read()
        while True:
            os.write(1, b' ')
            time.sleep(0.02)
        ''')
    began = time.monotonic()
    fails(lambda: fake.manager(mode, timeout=0.3).get(None, ID), 'in time')
    assert time.monotonic() - began < 5


def test_session_is_kept(fake):
    fake.plays(OBEY)
    pids = {fake.manager('session').get(None, ID).id for _ in range(5)}
    assert len(pids) == 1


def test_session_is_not_kept_with_a_broken_configuration(fake):
    """Another process reads anew what the operator has mended since."""
    fake.plays('''
        log(os.getpid())
        request = read()
        time.sleep(0.3)
        answer(request, {})
        while True:
            send(id=read()['id'], error={'kind': 'config', 'message': 'wrong'})
        ''')
    manager = fake.manager('session')
    threads = [threading.Thread(target=manager.delete, args=(None, ID))
               for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fake.log()) == 2
    fails(lambda: manager.delete(None, ID), 'Configuration error')
    manager.delete(None, ID)


def test_session_killed_between_calls(fake):
    fake.plays(OBEY)
    manager = fake.manager('session')
    pids = set()
    for _ in range(20):
        pid = manager.get(None, ID).id
        pids.add(pid)
        os.kill(int(pid), signal.SIGKILL)
    assert len(pids) == 20


def test_session_killed_where_sigpipe_kills(fake):
    """Python ignores SIGPIPE, but a program around it may not."""
    fake.plays(OBEY)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            manager = fake.manager('session')
            helper_pid = int(manager.get(None, ID).id)
            os.kill(helper_pid, signal.SIGKILL)
            os.waitid(os.P_PID, helper_pid, os.WEXITED | os.WNOWAIT)
            manager.create_key(None, 'AES', 256)
        except exception.KeyManagerError as e:
            status = 'answered without key_id' not in str(e)
            helper._close_all()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_session_that_serves_but_once(fake):
    """A helper may go at any time, even just when it was asked again."""
    fake.plays('answer(read(), {"object": KEY, "key_id": str(os.getpid())})')
    manager = fake.manager('session')
    ids = {manager.create_key(None, 'AES', 256) for _ in range(10)}
    assert len(ids) == 10


@pytest.mark.parametrize('call, repeated', [
    (lambda manager: manager.get(None, ID), True),
    (lambda manager: manager.list(None), True),
    (lambda manager: manager.create_key(None, 'AES', 256), False),
    (lambda manager: manager.delete(None, ID), False),
])
def test_session_dies_within_a_call(fake, call, repeated):
    fake.plays('''
        first = not os.path.exists(sys.argv[0] + '.ran')
        open(sys.argv[0] + '.ran', 'w').close()
        while True:
            r = read()
            log(r['op'])
            if first and r['args'].get('key_id') != 'warm up':
                os.kill(os.getpid(), 9)
            answer(r, {'object': KEY, 'objects': [], 'key_id': 'x'})
        ''')
    manager = fake.manager('session')
    manager.get(None, 'warm up')
    if repeated:
        call(manager)
        assert len(fake.log()) == 3
    else:
        fails(lambda: call(manager), 'signal 9', 'may have taken effect')
        assert len(fake.log()) == 2
        call(manager)


@pytest.mark.parametrize('name', ['a', 'aa', 'aaa', 'aaaa'])
def test_dies_before_it_has_read_the_line_break(fake, mode, name):
    """Up to its brace the request is whole, and may have been carried out."""
    fake.plays('''
        text = b''
        while True:
            text += os.read(0, 2)
            try:
                log(json.loads(text)['op'])
            except ValueError:
                continue
            os.kill(os.getpid(), 9)
        ''')
    fails(lambda: fake.manager(mode).create_key(None, 'AES', 256, name=name),
          'may have taken effect')
    assert fake.log() == ['create_key']


def test_session_that_always_dies(fake):
    fake.plays('log(read()["op"])\nsys.exit(3)')
    manager = fake.manager('session')
    fails(lambda: manager.get(None, ID), 'status 3')
    assert len(fake.log()) == helper._MAX_STARTS


def test_session_after_all_kept_helpers_went(fake):
    """That kept ones are gone says nothing about fresh ones."""
    fake.plays('''
        def starts():
            return os.path.getsize(sys.argv[0] + '.starts')
        with open(sys.argv[0] + '.starts', 'a') as f:
            f.write('x')
        mine = starts()
        while starts() < 4:
            time.sleep(0.001)
        while True:
            r = read()
            if 4 < mine < 9:
                sys.exit(3)
            answer(r, {'object': dict(KEY, id=str(os.getpid()))})
        ''')
    manager = fake.manager('session')
    threads = [threading.Thread(target=manager.get, args=(None, ID))
               for _ in range(helper._MAX_KEPT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(helper._running) == 4
    for kept in helper._running:
        os.kill(kept._process.pid, signal.SIGKILL)
    assert manager.get(None, ID).bit_length == 8


def test_session_limit(fake):
    fake.plays('''
        while True:
            r = read()
            time.sleep(0.02)
            answer(r, {'object': dict(KEY, id=str(os.getpid()))})
        ''')
    manager = fake.manager('session')
    pids = []
    threads = [threading.Thread(
        target=lambda: pids.append(manager.get(None, ID).id))
        for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(pids) == 20
    assert 1 < len(set(pids)) <= helper._MAX_KEPT


def test_session_waits_no_longer_than_its_deadline(fake, monkeypatch):
    monkeypatch.setattr(helper, '_MAX_KEPT', 1)
    fake.plays('r = read()\ntime.sleep(2)\nanswer(r, {})')
    manager = fake.manager('session', timeout=0.5)
    first = threading.Thread(target=lambda: manager.delete(None, ID))
    first.start()
    time.sleep(0.1)
    fails(lambda: manager.delete(None, ID), 'busy', 'was not carried out')
    first.join(30)


def wait_until(happens):
    until = time.monotonic() + 30
    while not happens():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_first_come_first_served(fake, monkeypatch):
    """The first is served when the last has come."""
    monkeypatch.setattr(helper, '_MAX_KEPT', 1)
    fake.plays('''
        while True:
            r = read()
            log(r['args']['key_id'])
            while not os.path.exists(sys.argv[0] + '.all'):
                time.sleep(0.001)
            answer(r, {})
        ''')
    manager = fake.manager('session')
    threads = [threading.Thread(target=manager.delete, args=(None, str(n)))
               for n in range(20)]
    for come, thread in enumerate(threads, 1):
        thread.start()
        wait_until(lambda: [len(pool._turns._line) for pool
                            in helper._pools.values()] == [come])
    open(fake.helper + '.all', 'w').close()
    for thread in threads:
        thread.join(30)
    assert fake.log() == [str(n) for n in range(20)]


def held_start(manager, monkeypatch):
    """A thread that starts a helper, and what lets it go on."""
    starting, going_on = threading.Event(), threading.Event()

    def give_way():
        starting.set()
        going_on.wait(30)

    monkeypatch.setattr(helper, '_give_way', give_way)
    thread = threading.Thread(target=lambda: manager.get(None, ID))
    thread.start()
    starting.wait(30)
    return thread, going_on


def test_start_waits_no_longer_than_its_deadline(fake, mode, monkeypatch):
    fake.plays(OBEY)
    manager = fake.manager(mode)
    first, going_on = held_start(manager, monkeypatch)
    later = threading.Timer(3, going_on.set)
    later.start()
    manager.conf.set_override('timeout', 0.3, 'kmip')
    began = time.monotonic()
    fails(lambda: manager.create_key(None, 'AES', 256), 'create_key', 'busy',
          'was not carried out')
    assert time.monotonic() - began < 2
    later.cancel()
    going_on.set()
    first.join(30)


def test_session_by_configuration(fake):
    fake.plays(OBEY)
    first = fake.manager('session')
    os.mkdir(os.path.join(fake.path, 'other'))
    other = fake.manager('session')
    other.conf(['--config-file', fake.path + '/nova.conf',
                '--config-dir', fake.path + '/other'], project='nova')
    assert first.get(None, ID).id != other.get(None, ID).id


def held(socket):
    """How many descriptors of this process are of a socket."""
    return sum(os.readlink('/proc/self/fd/' + fd) == socket
               for fd in os.listdir('/proc/self/fd')
               if os.path.exists('/proc/self/fd/' + fd))


def test_session_is_not_shared_with_an_unknown_fork(fake):
    """As that of uwsgi, which runs none of what Python runs at a fork."""
    fake.plays(OBEY)
    manager = fake.manager('session')
    before = manager.get(None, ID).id
    (kept,) = helper._running
    socket = os.readlink('/proc/self/fd/%d' % kept._socket.fileno())
    read, write = os.pipe()
    pid = ctypes.PyDLL(None).fork()
    if not pid:
        try:
            found = manager.get(None, ID).id
            os.write(write, ('%s %d' % (found, held(socket))).encode())
            helper._close_all()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    found, shared = os.read(read, 100).decode().split()
    assert found != before
    assert shared == '0'
    assert manager.get(None, ID).id == before
    os.close(read)
    os.close(write)


def test_unknown_fork_while_a_helper_is_started(fake, mode, monkeypatch):
    """Nobody gives back the turn of a thread that is not in the fork."""
    fake.plays(OBEY)
    manager = fake.manager(mode, timeout=5)
    first, going_on = held_start(manager, monkeypatch)
    pid = ctypes.PyDLL(None).fork()
    if not pid:
        status = 1
        try:
            helper._give_way = int
            manager.get(None, ID)
            helper._close_all()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    going_on.set()
    first.join(30)


def test_session_is_not_shared_with_a_fork(fake):
    fake.plays(OBEY)
    manager = fake.manager('session')
    before = manager.get(None, ID).id
    (kept,) = helper._running
    socket = os.readlink('/proc/self/fd/%d' % kept._socket.fileno())
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            shared = held(socket)
            found = manager.get(None, ID).id
            again = manager.get(None, ID).id
            os.write(write, ('%s %d %s' % (found, shared, again)).encode())
            helper._close_all()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    found, shared, again = os.read(read, 100).decode().split()
    assert found != before and found == again
    assert shared == '0'
    assert manager.get(None, ID).id == before
    os.close(read)
    os.close(write)


def test_fork_seen_by_a_second_thread(fake, monkeypatch):
    """What the first has started by then is not the parent's."""
    fake.plays(OBEY)
    manager = fake.manager('session')
    manager.get(None, ID)
    (started,) = helper._running
    monkeypatch.setattr(helper, '_process', 0)
    manager.get(None, ID)
    assert started in helper._running and started.is_alive()


def descriptors():
    return set(os.listdir('/proc/self/fd'))


@pytest.mark.parametrize('closed', [(0,), (1,), (0, 1, 2)], ids=str)
def test_standard_streams_that_are_closed(fake, mode, closed):
    """The helper is not told what the service prints."""
    fake.plays('''
        while True:
            r = read()
            log(r['op'])
            answer(r, {'key_id': 'x'})
        ''')
    pid = os.fork()
    if not pid:
        status = 1
        try:
            for fd in closed:
                os.close(fd)
            manager = fake.manager(mode)
            for _ in range(2):
                manager.create_key(None, 'AES', 256)
                for fd in closed:
                    with contextlib.suppress(OSError):
                        os.write(fd, b'printed')
            helper._close_all()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert fake.log() == ['create_key'] * 2


def test_fork_while_a_helper_is_started(fake, mode, monkeypatch):
    """Whoever was forked does not keep the driver from seeing its end."""
    forked = []

    def give_way():
        pid = os.fork()
        if not pid:
            time.sleep(20)
            os._exit(0)
        forked.append(pid)

    monkeypatch.setattr(helper, '_give_way', give_way)
    fake.plays('read(); sys.exit(7)')
    began = time.monotonic()
    fails(lambda: fake.manager(mode).create_key(None, 'AES', 256), 'status 7')
    assert time.monotonic() - began < 10
    for pid in forked:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_fork_while_a_helper_is_loaded(fake, mode, monkeypatch):
    popen = subprocess.Popen
    loading = threading.Event()

    def slow_popen(*args, **kwargs):
        loading.set()
        time.sleep(0.2)
        return popen(*args, **kwargs)

    fake.plays('read(); sys.exit(7)')
    manager = fake.manager(mode)
    call = threading.Thread(target=fails, args=(
        lambda: manager.create_key(None, 'AES', 256), 'status 7'))
    monkeypatch.setattr(helper.subprocess, 'Popen', slow_popen)
    call.start()
    assert loading.wait(30)
    pid = os.fork()
    if not pid:
        time.sleep(20)
        os._exit(0)
    call.join(10)
    late = call.is_alive()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    call.join(30)
    assert not late


@pytest.mark.parametrize('where', [(helper, '_give_way'),
                                   (helper.subprocess, 'Popen')],
                         ids=['before', 'within'])
def test_cancelled_start_leaves_nothing_open(fake, mode, monkeypatch, where):
    def cancelled(*args, **kwargs):
        raise KeyboardInterrupt

    manager = fake.manager(mode)
    monkeypatch.setattr(*where, cancelled)
    before = descriptors()
    with pytest.raises(KeyboardInterrupt) as caught:
        manager.get(None, ID)
    # What is caught holds what its traceback shows.
    assert caught and descriptors() == before


def test_cancelled_while_a_helper_ends(fake, monkeypatch):
    """As by eventlet's Timeout: the helper is gone all the same."""
    def cancelled(*args):
        raise KeyboardInterrupt

    fake.plays('answer(read(), {"object": KEY})\ntime.sleep(60)')
    monkeypatch.setattr(helper._Helper, '_ends_within', cancelled)
    before = conftest.children()
    with pytest.raises(KeyboardInterrupt):
        fake.manager().get(None, ID)
    assert conftest.children() == before


class Clock(object):
    """Stands for time; the first of those that run end as it passes."""

    def __init__(self, running, ends):
        self.now = 0.0
        self.slept = []
        self._running = running
        self._ends = ends

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        if self._ends and self.now >= self._ends:
            self._running.clear()


@pytest.mark.parametrize('more, ends, least, most', [
    (-1, None, 0, 0), (0, 0.004, 0.004, 0.006), (3, None, 0.01, 0.012)])
def test_start_gives_way(monkeypatch, more, ends, least, most):
    """To green threads, and for a moment to helpers on all processors."""
    running = set(range(helper._CROWD + more))
    clock = Clock(running, ends)
    monkeypatch.setattr(helper, '_running', running)
    monkeypatch.setattr(helper, 'time', clock)
    helper._give_way()
    monkeypatch.undo()
    assert clock.slept[0] == 0
    assert least <= clock.now <= most


def test_other_programs_do_not_hold_a_helper(fake):
    """Or it would not see that the service has ended."""
    fake.plays(OBEY)
    fake.manager('session').get(None, ID)
    (kept,) = helper._running
    socket = os.readlink('/proc/self/fd/%d' % kept._socket.fileno())
    done = subprocess.run(['ls', '-l', '/proc/self/fd'], close_fds=False,
                          stdout=subprocess.PIPE, text=True)
    assert 'pipe:' in done.stdout and socket not in done.stdout


def test_session_ends_with_the_service(fake):
    fake.plays('log(os.getpid())\nanswer(read(), {})\nread()')
    pid = os.fork()
    if not pid:
        try:
            fake.manager('session').delete(None, ID)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    for _ in range(100):
        if not os.path.exists('/proc/%d' % fake.log()[0]):
            return
        time.sleep(0.05)
    raise AssertionError('the helper outlives the service')


SERVICE = '''
import sys
from oslo_config import cfg
from castellan_kmip import key_manager
conf = cfg.ConfigOpts()
conf(['--config-file', sys.argv[1]], project='nova')
key_manager.KMIPKeyManager(conf).delete(None, 'an id')
'''


def test_helper_that_does_not_notice_the_end_of_the_service(fake):
    fake.plays('log(os.getpid())\nanswer(read(), {})\ntime.sleep(60)')
    fake.manager('session')
    subprocess.run([sys.executable, '-c', SERVICE, fake.path + '/nova.conf'],
                   check=True, timeout=60)
    assert not os.path.exists('/proc/%d' % fake.log()[0])


BUSY_SERVICE = '''
import sys, threading, time
from oslo_config import cfg
from castellan_kmip import key_manager
conf = cfg.ConfigOpts()
conf(['--config-file', sys.argv[1]], project='nova')
manager = key_manager.KMIPKeyManager(conf)
for _ in range(20):
    threading.Thread(target=manager.delete, args=(None, 'an id'),
                     daemon=True).start()
while len(open(sys.argv[2]).readlines()) < int(sys.argv[3]):
    time.sleep(0.05)
time.sleep(0.2)
'''


@pytest.mark.parametrize('mode, helpers', [('exec', 20), ('session', 4)])
def test_end_of_a_service_with_many_calls(fake, mode, helpers):
    """One helper that does not end takes as long as twenty of them."""
    fake.plays('log(os.getpid())\ntime.sleep(60)')
    fake.manager(mode)
    service = subprocess.Popen(
        [sys.executable, '-c', BUSY_SERVICE, fake.path + '/nova.conf',
         fake.path + '/log', str(helpers)], stderr=subprocess.DEVNULL)
    while len(fake.log()) < helpers:
        assert service.poll() is None
        time.sleep(0.05)
    began = time.monotonic()
    assert service.wait(60) == 0
    assert time.monotonic() - began < 10
    time.sleep(0.5)  # in which one would log that was started at the end
    assert len(fake.log()) == helpers
    assert not [pid for pid in fake.log() if os.path.exists('/proc/%d' % pid)]
