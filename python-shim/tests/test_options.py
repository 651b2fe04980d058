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

"""The options, and that the helper reads what the service read."""

import json
import os
import shutil
import subprocess
import sys

from castellan.common import exception
from castellan import options as castellan_options
from oslo_config import cfg
import pytest

from castellan_kmip import key_manager
from castellan_kmip import options
from tests import conftest

ID = '6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11'


def arguments(args, **kwargs):
    conf = cfg.ConfigOpts()
    conf(args, project='cinder', **kwargs)
    return list(options.config_arguments(conf))


@pytest.fixture
def tree(tmp_path):
    for name in 'a.conf', 'b.conf':
        (tmp_path / name).write_text('[kmip]\n')
    for name in 'd', 'e':
        (tmp_path / name).mkdir()
    return str(tmp_path)


def test_order_of_the_command_line(tree):
    spelled = ['--config-dir=%s/e', '--config-file=%s/b.conf',
               '--config-dir=%s/d', '--config-file=%s/a.conf']
    spelled = [argument % tree for argument in spelled]
    apart = [word for argument in spelled for word in argument.split('=')]
    assert arguments(spelled) == spelled
    assert arguments(apart) == spelled


def test_defaults(tree):
    defaults = {'default_config_files': [tree + '/a.conf', tree + '/b.conf'],
                'default_config_dirs': [tree + '/d', tree + '/missing']}
    files = ['--config-file=' + tree + '/a.conf',
             '--config-file=' + tree + '/b.conf']
    dirs = ['--config-dir=' + tree + '/d']
    assert arguments([], **defaults) == files + dirs
    # As oslo.config does it, defaults come first.
    given = ['--config-file=' + tree + '/b.conf']
    assert arguments(given, **defaults) == dirs + given
    given = ['--config-dir=' + tree + '/e']
    assert arguments(given, **defaults) == files + given


def test_beginnings_of_options(tree):
    """argparse knows an option by its beginning, oslo.config does not."""
    default, given = tree + '/a.conf', tree + '/b.conf'
    conf = cfg.ConfigOpts()
    conf(['--config-fil=' + given, '--config-d', tree + '/d'],
         project='cinder', default_config_files=[default],
         default_config_dirs=[])
    assert (conf.config_file, conf.config_dir) == ([given], [tree + '/d'])
    assert list(options.config_arguments(conf)) == [
        '--config-file=' + default, '--config-dir=/dev/null',
        '--config-file=' + given, '--config-dir=' + tree + '/d']


def test_relative_paths(tree, monkeypatch):
    monkeypatch.chdir(tree)
    monkeypatch.setenv('HOME', tree + '/d')
    spelled = ['--config-file=a.conf', '--config-dir', './e/../d']
    absolute = ['--config-file=' + tree + '/a.conf',
                '--config-dir=' + tree + '/d']
    assert arguments(spelled) == absolute
    spelled = ['--config-file', '~/../a.conf', '--config-dir=~']
    assert arguments(spelled) == absolute
    assert arguments([], default_config_files=['a.conf'],
                     default_config_dirs=['d', 'missing']) == absolute


def test_change_of_the_directory(fake, mode, monkeypatch):
    """Paths stay those of where they were parsed, and of no other's."""
    fake.plays('log(sys.argv[-1])\nanswer(read(), {})')
    managers = []
    for name in 'a', 'b':
        os.mkdir(os.path.join(fake.path, name))
        monkeypatch.chdir(os.path.join(fake.path, name))
        fake.manager(mode)
        os.rename('../nova.conf', 'nova.conf')
        conf = cfg.ConfigOpts()
        conf(['--config-file', 'nova.conf'], project='nova')
        managers.append(key_manager.KMIPKeyManager(conf))
    monkeypatch.chdir('/')
    later = [key_manager.KMIPKeyManager(manager.conf) for manager in managers]
    for manager in managers + later:
        manager.delete(None, ID)
    assert fake.log() == ['--config-file=%s/%s/nova.conf' % (fake.path, name)
                          for name in 'abab']


def test_directory_that_was_removed(tmp_path, monkeypatch):
    gone = tmp_path / 'gone'
    gone.mkdir()
    (gone / 'nova.conf').write_text('[kmip]\nhelper = %s\n'
                                    % conftest.peer_binary('KMIP_HELPER'))
    monkeypatch.chdir(gone)
    conf = cfg.ConfigOpts()
    conf(['--config-file', 'nova.conf'], project='nova')
    shutil.rmtree(gone)
    manager = key_manager.KMIPKeyManager(conf)
    with pytest.raises(exception.KeyManagerError, match='nova.conf'):
        manager.get(None, ID)


def test_nothing_to_read():
    """Cinder without files is not to get what nova.conf says."""
    nothing = ['--config-file=/dev/null', '--config-dir=/dev/null']
    assert arguments([], default_config_files=[],
                     default_config_dirs=[]) == nothing
    assert list(options.config_arguments(cfg.ConfigOpts())) == nothing


@pytest.mark.parametrize('name, text', [
    ('host', 'kms1:5696, [::1], kms2,'), ('port', '1'), ('port', '65535'),
    ('timeout', '1e3'), ('timeout', '0.000001'), ('timeout', '9e9'),
    ('connect_timeout', '1_0'), ('retry_interval', '0'), ('max_retries', '0'),
    ('max_retries', '1000000'), ('activate', 'ON'), ('activate', '0'),
    ('tls_ciphers', ''), ('tls_min_version', '1.3'), ('server_name', ''),
    ('kmip_version', '2.1'), ('mode', 'integrated'), ('username', 'u'),
    ('tokenless', 'service'), ('helper', ''), ('object_group', 'a, b'),
    ('tls_ciphers', 'TLS_RSA_WITH_AES_128_CBC_SHA256'),
])
def test_what_the_helper_takes(tmp_path, name, text):
    manager = conftest.make_manager(tmp_path, {
        name: text, 'certfile': '/missing', 'keyfile': '/missing',
        'ca_certs': '/missing'})
    getattr(manager.conf.kmip, name)
    manager.conf.set_override(
        'helper', conftest.peer_binary('KMIP_HELPER'), 'kmip')
    with pytest.raises(exception.KeyManagerError, match='keyfile'):
        manager.get(None, ID)


@pytest.mark.parametrize('name, text', [
    ('port', '0'), ('port', '65536'), ('port', 'x'), ('timeout', '0'),
    ('timeout', 'nan'), ('timeout', 'inf'), ('timeout', ''),
    ('retry_interval', '-1'), ('max_retries', '-1'), ('activate', 'perhaps'),
    ('max_retries', '1000001'), ('tls_min_version', '1.1'), ('mode', ''),
    ('kmip_version', '3.0'), ('tokenless', 'no'), ('helper_mode', 'fork'),
])
def test_what_the_helper_refuses(tmp_path, name, text):
    manager = conftest.make_manager(tmp_path, {name: text})
    with pytest.raises(cfg.ConfigFileValueError):
        getattr(manager.conf.kmip, name)
    manager = conftest.make_manager(tmp_path, {
        'certfile': 'x', 'keyfile': 'x', 'ca_certs': 'x', name: text})
    manager.conf.set_override(
        'helper', conftest.peer_binary('KMIP_HELPER'), 'kmip')
    with pytest.raises(exception.KeyManagerError, match=name):
        manager.get(None, ID)


def test_defaults_are_the_helpers(tmp_path):
    """check shows the text of every option that has one."""
    done = subprocess.run(
        [conftest.peer_binary('KMIP_HELPER'), '--config-file=/dev/null',
         '--config-dir=/dev/null'], stdout=subprocess.PIPE, timeout=10,
        input=b'{"version":1,"id":"1","op":"check"}')
    config = json.loads(done.stdout)['result']['config']
    assert set(config) == {opt.name for opt in options.OPTS}
    for opt in options.OPTS:
        if opt.default is None:
            assert config[opt.name] is None
        elif isinstance(opt.default, list):
            assert config[opt.name] == ','.join(opt.default)
        else:
            assert opt.type(config[opt.name]) == opt.default


@pytest.mark.parametrize('name, value', [
    ('host', ['kms2']), ('project_isolation', False), ('password', 's3cret')])
def test_overrides_that_the_helper_does_not_see(fake, mode, name, value):
    fake.plays('while True: answer(read(), {})')
    manager = fake.manager(mode, timeout=20)
    manager.delete(None, ID)
    manager.conf.set_override('timeout', 30.0, 'kmip')
    manager.delete(None, ID)
    manager.conf.set_override(name, value, 'kmip')
    with pytest.raises(exception.KeyManagerError, match=name) as caught:
        manager.delete(None, ID)
    assert 's3cret' not in str(caught.value)
    manager.conf.clear_override(name, 'kmip')
    manager.delete(None, ID)
    manager.conf.set_default(name, value, 'kmip')
    with pytest.raises(exception.KeyManagerError, match='set_default'):
        manager.delete(None, ID)
    manager.conf.clear_default(name, 'kmip')
    manager.delete(None, ID)


def test_defaults_that_a_file_sets_otherwise(tmp_path, fake, mode):
    fake.plays('while True: answer(read(), {})')
    manager = fake.manager(mode, host='kms1')
    manager.conf.set_default('host', ['kms2'], 'kmip')
    assert manager.conf.kmip.host == ['kms1']
    manager.delete(None, ID)


@pytest.mark.parametrize('namespace', ['castellan_kmip', 'castellan.config'])
def test_sample(namespace):
    done = subprocess.run(
        [sys.executable, '-c', 'from oslo_config import generator;'
         'generator.main()', '--namespace', namespace],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    kmip = done.stdout.partition('[kmip]')[2]
    for opt in options.OPTS:
        assert '#%s = ' % opt.name in kmip, done.stdout


def test_registration_of_all_drivers():
    castellan_options.set_defaults(cfg.CONF)
    assert cfg.CONF.kmip.host == ['localhost']
    key_manager.KMIPKeyManager(cfg.CONF)
    assert 'kmip' in [group for group, _ in castellan_options.list_opts()]
