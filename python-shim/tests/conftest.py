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

"""Helpers that play a part, and servers to talk to."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time

from oslo_config import cfg
import pytest

from castellan_kmip import helper
from castellan_kmip import key_manager

HERE = os.path.dirname(__file__)
TESTDATA = os.path.join(HERE, '..', '..', 'protocol', 'testdata')

# Around the part that a test writes: read() gives the next request, answer()
# a result to it, and log() tells the test.
_PART = '''\
#!/usr/bin/python3 -SE
import json, os, signal, sys, time
def read():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)
def send(**fields):
    print(json.dumps(dict({{'version': 1}}, **fields)), flush=True)
def answer(request, result):
    send(id=request['id'], result=result)
def log(what):
    with open({log!r}, 'a') as f:
        f.write(json.dumps(what) + '\\n')
KEY = {{'type': 'symmetric', 'name': None, 'created': None, 'value': '00',
       'algorithm': 'AES', 'bit_length': 8, 'id': 'an id'}}
{part}
'''


class Fake(object):
    """A scripted helper, and the driver that runs it."""

    def __init__(self, path):
        self.path = path
        self.helper = os.path.join(path, 'helper')
        self._log = os.path.join(path, 'log')
        open(self._log, 'w').close()

    def plays(self, part):
        with open(self.helper, 'w') as f:
            f.write(_PART.format(log=self._log, part=textwrap.dedent(part)))
        os.chmod(self.helper, 0o755)

    def manager(self, mode='exec', **options):
        options = dict(helper=self.helper, helper_mode=mode, **options)
        return make_manager(self.path, options)

    def log(self):
        with open(self._log) as f:
            return [json.loads(line) for line in f]


def make_manager(path, options):
    name = os.path.join(str(path), 'nova.conf')
    with open(name, 'w') as f:
        f.write('[kmip]\n')
        f.writelines('%s = %s\n' % item for item in options.items())
    conf = cfg.ConfigOpts()
    conf(['--config-file', name], project='nova')
    return key_manager.KMIPKeyManager(conf)


@pytest.fixture
def fake(tmp_path):
    return Fake(str(tmp_path))


@pytest.fixture(params=['exec', 'session'])
def mode(request):
    return request.param


@pytest.fixture(autouse=True)
def nothing_left():
    """No test leaves a process behind, nor a zombie."""
    before = children()
    yield
    helper._close_all()
    assert children() - before == set()


@pytest.fixture
def short_margin(monkeypatch):
    monkeypatch.setattr(helper, '_MARGIN', 0.1)


def children():
    with open('/proc/self/task/%d/children' % os.getpid()) as f:
        return set(f.read().split())


def literal_examples(name):
    with open(os.path.join(TESTDATA, name)) as f:
        return [json.loads(line) for line in f]


def peer_binary(variable):
    """A binary that the tests of the whole stack need, or a skip."""
    path = os.environ.get(variable)
    if path and os.access(path, os.X_OK):
        return path
    missing(variable + ' names no program')


def missing(what):
    if os.environ.get('KMIP_TESTS_REQUIRE_PEERS') == '1':
        pytest.fail(what)
    pytest.skip(what + '; python-shim/run-tests sets all up')


class Peer(object):
    """A KMIP server, and how to be its client."""

    def __init__(self, kind, path):
        self.kind = kind
        self.path = str(path)
        self.helper = peer_binary('KMIP_HELPER')
        self.process = None
        self.pki = os.path.join(self.path, 'pki')
        os.mkdir(self.pki)
        try:
            self.port = getattr(self, '_start_' + kind)()
        except BaseException:
            self.stop()
            raise

    def _start_mock(self):
        self.process = subprocess.Popen(
            [peer_binary('KMIP_MOCK'), '--listen', '127.0.0.1:0',
             '--pki', self.pki], stdout=subprocess.PIPE, text=True,
            start_new_session=True)
        ready = select.select([self.process.stdout], [], [], 10)[0]
        line = self.process.stdout.readline() if ready else 'nothing in 10 s'
        assert line.startswith('listening '), line
        return int(line.rpartition(':')[2])

    def _start_pykmip(self):
        if not shutil.which('pykmip-server'):
            missing('there is no pykmip-server (python3-pykmip)')
        self._start_mock()  # for its certificates
        self.stop()
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        os.mkdir(os.path.join(self.path, 'policy'))
        with open(os.path.join(self.path, 'server.conf'), 'w') as f:
            f.write(textwrap.dedent('''\
                [server]
                hostname=127.0.0.1
                port={port}
                certificate_path={pki}/server.pem
                key_path={pki}/server-key.pem
                ca_path={pki}/ca.pem
                auth_suite=TLS1.2
                policy_path={path}/policy
                enable_tls_client_auth=True
                logging_level=WARNING
                database_path={path}/db.sqlite
                ''').format(port=port, pki=self.pki, path=self.path))
        with open(os.path.join(self.path, 'out'), 'w') as out:
            self.process = subprocess.Popen(
                ['pykmip-server', '-f', self.path + '/server.conf',
                 '-l', self.path + '/server.log'], stdout=out, stderr=out,
                start_new_session=True)
        for _ in range(200):
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                return port
            except OSError:
                assert self.process.poll() is None, self.path
                time.sleep(0.1)
        raise AssertionError('pykmip-server does not listen')

    def options(self, mode='exec', **more):
        return dict(
            host='127.0.0.1', port=self.port, helper=self.helper,
            helper_mode=mode, ca_certs=self.pki + '/ca.pem',
            certfile=self.pki + '/client.pem',
            keyfile=self.pki + '/client-key.pem', **more)

    def write_conf(self, name, mode='exec', more='', **options):
        """Writes a nova.conf or cinder.conf for this server."""
        path = os.path.join(self.path, '%s-%s.conf' % (name, mode))
        with open(path, 'w') as f:
            f.write('[key_manager]\nbackend = kmip\n%s\n[kmip]\n' % more)
            f.writelines('%s = %s\n' % item
                         for item in self.options(mode, **options).items())
        return path

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                # PyKMIP's server waits long for its sessions, and has
                # processes of its own, all in the one group.
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
            if self.process.stdout:
                self.process.stdout.close()
            self.process = None


@pytest.fixture(scope='session')
def mock(tmp_path_factory):
    peer = Peer('mock', tmp_path_factory.mktemp('mock'))
    yield peer
    peer.stop()


@pytest.fixture(scope='session')
def pykmip(tmp_path_factory):
    peer = Peer('pykmip', tmp_path_factory.mktemp('pykmip'))
    yield peer
    peer.stop()


@pytest.fixture(params=['mock', 'pykmip'], scope='session')
def peer(request):
    return request.getfixturevalue(request.param)


def run_program(name, *args, told=None, timeout=120):
    """Runs one of tests/programs and returns what it reports, in JSON."""
    done = subprocess.run(
        [sys.executable, os.path.join(HERE, 'programs', name), *args],
        input=json.dumps(told),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
