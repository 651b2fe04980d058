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

"""Calls where eventlet has patched late or in part, and of native threads too.

Each kind of thread is waited for by the other, and none may hang.
"""

import sys

import eventlet
if sys.argv[2] == 'debugged':
    # As Nova does where a remote debugger is to come.
    eventlet.monkey_patch(thread=False)
elif sys.argv[2] != 'late':
    eventlet.monkey_patch()

import json
import time

from castellan import key_manager
from eventlet import tpool
from oslo_config import cfg

from castellan_kmip import helper

# Answers each request, some of them slowly.
ANSWERS = ('/bin/sh', '-c', r'''while read r; do
    case "$r" in *slow*) sleep 0.2;; esac
    id=${r#*\"id\": \"}; echo "{\"id\": \"${id%%\"*}\", \"result\": {}}"
done''')


def all_at_once(call, calls):
    began = time.monotonic()
    found = list(eventlet.GreenPool(calls).imap(call, range(calls)))
    assert found == [256] * calls, found
    assert time.monotonic() - began < 10


def green(manager, key_id):
    all_at_once(lambda n: manager.get(None, key_id).bit_length, 20)


def green_and_native(manager, key_id):
    def get():
        return manager.get(None, key_id).bit_length

    all_at_once(lambda n: tpool.execute(get) if n % 2 else get(), 40)


def killed_when_its_turn_comes():
    """The turn is not lost, but the next one's."""
    def ask(word):
        helper.ask(ANSWERS, True, 'get_key', None, {'word': word},
                   time.monotonic() + 5)
        return word

    def ask_and_kill():
        ask('slow')
        eventlet.kill(second)

    began = time.monotonic()
    first = eventlet.spawn(ask_and_kill)
    eventlet.sleep(0.05)
    second = eventlet.spawn(ask, 'second')
    eventlet.sleep(0.01)
    third = eventlet.spawn(ask, 'third')
    assert third.wait() == 'third'
    assert time.monotonic() - began < 3
    first.wait()


def main():
    path, kind = sys.argv[1:]
    conf = cfg.ConfigOpts()
    conf(['--config-file', path], project='nova')
    manager = key_manager.API(conf)
    key_id = manager.create_key(None, 'AES', 256)
    if kind == 'late':
        eventlet.monkey_patch()
    green(manager, key_id)
    if kind == 'native':
        green_and_native(manager, key_id)
        helper._MAX_KEPT = 1
        killed_when_its_turn_comes()
    manager.delete(None, key_id)
    helper._close_all()
    print(json.dumps('done'))


main()
