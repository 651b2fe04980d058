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

"""Calls of many green threads, and how long another had to wait meanwhile."""

import eventlet
eventlet.monkey_patch()

import json
import os
import signal
import sys
import time

from castellan.common import exception
from castellan import key_manager
from oslo_config import cfg

from castellan_kmip import helper


def longest_pause(work):
    """Milliseconds that a green thread waited for its turn during work."""
    pauses = []
    ended = []

    def watch():
        while not ended:
            started = time.monotonic()
            eventlet.sleep(0.001)
            pauses.append(time.monotonic() - started - 0.001)

    watcher = eventlet.spawn(watch)
    eventlet.sleep(0.02)
    del pauses[:]
    work()
    ended.append(True)
    watcher.wait()
    return round(max(pauses) * 1000, 1)


def many(manager, calls):
    ids = [manager.create_key(None, 'AES', 256, name=str(n))
           for n in range(4)]
    pool = eventlet.GreenPool(calls)

    def work():
        found = list(pool.imap(lambda n: manager.get(None, ids[n % 4]).name,
                               range(calls)))
        assert found == [str(n % 4) for n in range(calls)], found

    work()
    pauses = [longest_pause(work) for _ in range(5)]
    for key_id in ids:
        manager.delete(None, key_id)
    return sorted(pauses)


def released(manager):
    """Calls wait for what another green thread does while they wait.

    A helper has streams that block, as any program expects.
    """
    path = sys.argv[1] + '.released'
    command = ('/bin/sh', '-c',
               'grep -q "flags:.*[4-7]...$" /proc/self/fdinfo/0 && exit 9; '
               'read request; until [ -e "$0" ]; do sleep 0.01; done; echo',
               path)

    def call():
        try:
            helper.ask(command, manager.conf.kmip.helper_mode == 'session',
                       'get_key', None, {}, time.monotonic() + 30)
        except helper.HelperError as e:
            return str(e)

    before = len(helper._running)
    calls = [eventlet.spawn(call) for _ in range(2)]
    while len(helper._running) < before + 2 and not calls[0].dead:
        eventlet.sleep(0.001)
    open(path, 'w').close()
    for waiting in calls:
        end = waiting.wait()
        assert 'something other' in end, end
    os.unlink(path)


def interrupted(manager):
    """A timeout of the service's own ends a call, and the helper."""
    key_id = manager.create_key(None, 'AES', 256)
    timeout = eventlet.Timeout(0.0005)
    try:
        while True:
            manager.get(None, key_id)
    except eventlet.Timeout as caught:
        assert caught is timeout
    finally:
        timeout.cancel()
    assert manager.get(None, key_id).bit_length == 256
    manager.delete(None, key_id)


def interrupted_at_the_end(manager):
    """Also where the helper has answered, and does not end."""
    before = len(helper._running)
    command = ('/bin/sh', '-c', 'read request; echo \'{"error": {}}\'; '
               'exec sleep 60 >/dev/null </dev/null')
    with eventlet.Timeout(0.3, False):
        helper.ask(command, manager.conf.kmip.helper_mode == 'session',
                   'get_key', None, {}, time.monotonic() + 30)
        raise AssertionError('the helper ended')
    assert len(helper._running) == before


def killed(manager):
    """Of a session between two calls, which the driver does not let on."""
    key_id = manager.create_key(None, 'AES', 256)
    for _ in range(10):
        for kept in list(helper._running):
            os.kill(kept._process.pid, signal.SIGKILL)
        assert manager.get(None, key_id).bit_length == 256
    manager.delete(None, key_id)


def forked(manager):
    """A worker of oslo.service: a fork, and a new hub in it."""
    key_id = manager.create_key(None, 'AES', 256)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            assert not helper._running
            eventlet.hubs.use_hub()
            assert manager.get(None, key_id).bit_length == 256
            helper._close_all()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    manager.delete(None, key_id)


def stopped(manager):
    """A helper that hangs, and a call that ends anyway."""
    helper._MARGIN = 0.1
    try:
        helper.ask(('/bin/sleep', '60'), manager.conf.kmip.helper_mode ==
                   'session', 'get_key', None, {}, time.monotonic() + 0.3)
        raise AssertionError('sleep answered')
    except helper.HelperError as e:
        assert 'in time' in str(e), e


def main():
    conf = cfg.ConfigOpts()
    conf(['--config-file', sys.argv[1]], project='nova')
    manager = key_manager.API(conf)
    pauses = many(manager, int(sys.argv[2]))
    released(manager)
    interrupted(manager)
    interrupted_at_the_end(manager)
    killed(manager)
    forked(manager)
    try:
        manager.get(None, '00000000-0000-4000-8000-000000000000')
    except exception.ManagedObjectNotFoundError:
        pass
    stopped(manager)
    helper._close_all()
    with open('/proc/self/task/%d/children' % os.getpid()) as f:
        assert f.read() == ''
    print(json.dumps(pauses))


main()
