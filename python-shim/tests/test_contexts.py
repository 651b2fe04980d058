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

"""Every context reaches the helper, and no secret the log."""

import datetime
import json
import logging

from castellan.common.credentials import keystone_password
from castellan.common.credentials import keystone_token
from castellan.common.credentials import password
from castellan.common.credentials import token
from castellan.common import exception
from keystoneauth1 import loading
from oslo_config import cfg
from oslo_context import context
import pytest

from castellan_kmip import contexts
from castellan_kmip import key_manager
from tests import conftest

ID = '6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11'


@pytest.fixture
def conf():
    conf = cfg.ConfigOpts()
    conf([], project='nova', default_config_files=[])
    key_manager.KMIPKeyManager(conf)
    return conf


class Plugin(object):
    def __init__(self, token):
        self.token = token
        self.session = None

    def get_token(self, session):
        self.session = session
        if isinstance(self.token, Exception):
            raise self.token
        return self.token


class ServiceContext(context.RequestContext):
    """As Nova's and Cinder's: a plugin, of which to_dict() says nothing."""

    def __init__(self, plugin, **kwargs):
        super().__init__(overwrite=False, **kwargs)
        self.user_auth_plugin = plugin
        self.timestamp = datetime.datetime(2026, 1, 2, 3, 4, 5)

    def get_auth_plugin(self):
        return self.user_auth_plugin


def test_none(conf):
    assert contexts.to_dict(None, conf) is None


def test_request_context(conf):
    ctxt = context.RequestContext(
        auth_token='t', user_id='u', project_id='p', user_name='un',
        project_name='pn', user_domain_id='ud', project_domain_id='pd',
        domain_id='d', service_token='s', roles=['member'], is_admin=True,
        global_request_id='req-2', overwrite=False)
    fields = contexts.to_dict(ctxt, conf)
    assert ctxt.to_dict().items() <= fields.items()
    wanted = dict(
        auth_token='t', service_token='s', user_id='u', project_id='p',
        domain_id='d', is_admin=True, roles=['member'], user_name='un',
        request_id=ctxt.request_id, global_request_id='req-2',
        project_name='pn', user_domain_id='ud', project_domain_id='pd')
    assert wanted.items() <= fields.items()


@pytest.mark.parametrize('found', ['token', None])
def test_plugin(conf, found):
    plugin = Plugin(found)
    fields = contexts.to_dict(ServiceContext(plugin), conf)
    assert fields['auth_token'] == found
    assert plugin.session.timeout == 10.0
    assert json.loads(json.dumps(fields, default=str))['timestamp']


def test_plugin_that_fails(conf, caplog):
    caplog.set_level(logging.DEBUG)
    plugin = Plugin(RuntimeError('s3cret'))
    assert contexts.to_dict(ServiceContext(plugin), conf)['auth_token'] is None
    assert 'RuntimeError' in caplog.text and 's3cret' not in caplog.text


def test_no_plugin(conf, caplog):
    fields = contexts.to_dict(ServiceContext(None), conf)
    assert fields['auth_token'] is None
    caplog.clear()
    fields = contexts.to_dict(context.RequestContext(overwrite=False), conf)
    assert fields['auth_token'] is None
    assert not caplog.records


class Kept(object):
    """A context that gives out what it keeps."""

    def __init__(self, fields):
        self.fields = fields

    def to_dict(self):
        return self.fields


@pytest.mark.parametrize('name', [
    'service_token', 'user_id', 'user_name', 'user_domain_id', 'project_id',
    'project_name', 'project_domain_id', 'domain_id', 'remote_address',
    'timestamp'])
def test_what_to_dict_leaves_out(conf, name):
    """Its word comes first, and it is not altered."""
    for told, attribute, wanted in (
            ({}, 'kept', 'kept'), ({name: None}, 'kept', 'kept'),
            ({name: 'told'}, None, 'told'), ({name: 'told'}, 'kept', 'told')):
        ctxt = Kept(dict(told))
        if attribute:
            setattr(ctxt, name, attribute)
        assert contexts.to_dict(ctxt, conf)[name] == wanted
        assert ctxt.fields == told


def test_token_comes_before_plugin(conf):
    plugin = Plugin('other')
    ctxt = ServiceContext(plugin, auth_token='token')
    assert contexts.to_dict(ctxt, conf)['auth_token'] == 'token'
    assert plugin.session is None


def test_plugin_trusts_what_the_service_trusts(conf):
    loading.register_session_conf_options(conf, 'service_user')
    conf.set_override('cafile', '/ca.pem', 'service_user')
    plugin = Plugin('token')
    contexts.to_dict(ServiceContext(plugin), conf)
    assert plugin.session.verify == '/ca.pem'
    assert plugin.session.timeout == 10.0


@pytest.mark.parametrize('credential, fields', [
    (keystone_password.KeystonePassword(
        'pw', auth_url='http://k', username='u', project_name='p',
        user_domain_name='d'),
     {'type': 'keystone_password', 'password': 'pw', 'username': 'u',
      'auth_url': 'http://k', 'project_name': 'p', 'user_domain_name': 'd',
      'user_id': None, 'trust_id': None, 'reauthenticate': True}),
    (keystone_token.KeystoneToken('t', auth_url='http://k', project_id='p'),
     {'type': 'keystone_token', 'token': 't', 'auth_url': 'http://k',
      'project_id': 'p'}),
    (password.Password('u', 'pw'),
     {'type': 'password', 'username': 'u', 'password': 'pw'}),
    (token.Token('t'), {'type': 'token', 'token': 't'}),
])
def test_credentials(conf, credential, fields):
    made = contexts.to_dict(credential, conf)
    beside = {'project_id': 'p'} if fields['type'] == 'keystone_token' else {}
    assert made == dict(beside, castellan=made['castellan'])
    assert fields.items() <= made['castellan'].items()
    kept = {name.lstrip('_') for name in vars(credential)}
    assert set(made['castellan']) == kept | {'type'}


def test_whose_keys_a_credential_sees(mock, mode, tmp_path):
    """In standalone mode: a KeystoneToken its project's, the others all."""
    manager = conftest.make_manager(tmp_path, mock.options(mode))
    ours, theirs, without = [
        keystone_token.KeystoneToken('t', project_id=project)
        for project in ('ours', 'theirs', None)]
    user = context.RequestContext(project_id='ours', overwrite=False)
    key_id = manager.create_key(ours, 'AES', 256)
    for sees in (ours, user, without, token.Token('t'), None,
                 password.Password('u', 'pw'),
                 keystone_password.KeystonePassword('pw', project_name='x')):
        assert manager.get(sees, key_id).id == key_id
    for call in manager.get, manager.copy, manager.delete:
        with pytest.raises(exception.ManagedObjectNotFoundError):
            call(theirs, key_id)
    own = manager.create_key(without, 'AES', 256)
    with pytest.raises(exception.ManagedObjectNotFoundError):
        manager.get(ours, own)
    for made in key_id, own:
        manager.delete(None, made)


@pytest.mark.parametrize('thing', ['admin', object(), {}, 1])
def test_no_context(conf, thing):
    with pytest.raises(exception.KeyManagerError, match='is not a context'):
        contexts.to_dict(thing, conf)


class Broken(object):
    def __init__(self, fields):
        self.fields = fields

    def to_dict(self):
        if isinstance(self.fields, Exception):
            raise self.fields
        return self.fields

    @property
    def service_token(self):
        raise ValueError('s3cret')


@pytest.mark.parametrize('fields', [
    KeyError('s3cret'), AttributeError('s3cret'), Exception('s3cret'),
    's3cret', {}, None], ids=repr)
def test_context_that_fails(fake, mode, fields):
    fake.plays('log(read())')
    with pytest.raises(exception.KeyManagerError, match='Broken') as caught:
        fake.manager(mode).get(Broken(fields), ID)
    assert 's3cret' not in str(caught.value)
    assert caught.value.__suppress_context__
    assert not caught.value.__cause__ and not fake.log()


class Evasive(object):
    def __init__(self, evades):
        self.evades = evades

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, 'evades'):
            raise ValueError('s3cret')
        return object.__getattribute__(self, name)

    def to_dict(self):
        return {}


class EvasiveToken(Evasive, token.Token):
    pass


@pytest.mark.parametrize('thing', [
    Evasive('to_dict'), Evasive('get_auth_plugin'), Evasive('service_token'),
    EvasiveToken('token')], ids=lambda thing: thing.evades)
def test_context_that_evades(conf, thing):
    with pytest.raises(exception.KeyManagerError) as caught:
        contexts.to_dict(thing, conf)
    assert str(caught.value).endswith('cannot be read: ValueError')


def test_nothing_is_logged(fake, mode, caplog):
    caplog.set_level(logging.DEBUG)
    fake.plays('''
        log(read()['context']['auth_token'])
        os.kill(os.getpid(), 9)
        ''')
    ctxt = context.RequestContext(auth_token='t0ken', overwrite=False)
    manager = fake.manager(mode, password='s3cret')
    with pytest.raises(exception.KeyManagerError) as caught:
        manager.get(ctxt, ID)
    assert 't0ken' in fake.log()
    logged = caplog.text + str(caught.value)
    assert 't0ken' not in logged and 's3cret' not in logged


@pytest.mark.parametrize('credential', [
    None, keystone_password.KeystonePassword('pw'), token.Token('t'),
    context.RequestContext(auth_token='t', project_id='p', overwrite=False),
    ServiceContext(Plugin('t')), ServiceContext(Plugin(None))])
def test_the_helper_takes_them(tmp_path, credential):
    """A context that it did not take would be the fault first found."""
    manager = conftest.make_manager(
        tmp_path, {'helper': conftest.peer_binary('KMIP_HELPER')})
    with pytest.raises(exception.KeyManagerError, match='certfile'):
        manager.get(credential, ID)
