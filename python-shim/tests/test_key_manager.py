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

"""What the driver says to the helper, and makes of what that answers."""

from unittest import mock

from castellan.common import exception
from castellan.common import objects
from castellan.common.objects import opaque_data
from castellan.common.objects import passphrase
from castellan.common.objects import private_key
from castellan.common.objects import public_key
from castellan.common.objects import symmetric_key
from castellan.common.objects import x_509
import castellan.key_manager
from castellan.key_manager import key_manager as castellan_key_manager
from oslo_config import cfg
import pytest

from castellan_kmip import helper
from castellan_kmip import key_manager
from castellan_kmip import legacy
from castellan_kmip import options
from tests import conftest

ID = '6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11'
CONSUMER = {'service': 'cinder', 'resource_type': 'volume',
            'resource_id': '0b3f8c1e-0d5b-4f0a-9a53-1d1f4f1f7c22'}
EXAMPLES = conftest.literal_examples('examples.jsonl')
ERRORS = conftest.literal_examples('errors.jsonl')


class Script(object):
    """Stands for the helper: keeps what it is asked, answers as told."""

    def __init__(self):
        self.answer = {'result': {}}
        self.asked = []

    def ask(self, command, session, op, context, args, until):
        self.asked.append({'op': op, 'context': context, 'args': args})
        return self.answer

    def returns(self, **result):
        self.answer = {'result': result}
        return self

    def args(self):
        return self.asked[-1]['args']


@pytest.fixture
def script(monkeypatch):
    script = Script()
    monkeypatch.setattr(helper, 'ask', script.ask)
    return script


@pytest.fixture
def manager():
    conf = cfg.ConfigOpts()
    conf([], project='nova', default_config_files=[])
    return key_manager.KMIPKeyManager(conf)


def call(manager, op, args):
    """The call that makes of args a request like a literal one."""
    args = dict(args or {})
    args.pop('later', None)
    key_id = args.pop('key_id', None)
    consumer = args.pop('consumer', None)
    if op == 'store_key':
        return manager.store(None, objects.from_dict(args['object']),
                             args['expiration'])
    if op == 'list_keys':
        kind = args.pop('object_type', None)
        kinds = {v: k for k, v in manager._secret_type_dict.items()}
        return manager.list(None, kinds.get(kind), **args)
    if op in ('create_key', 'create_key_pair'):
        return getattr(manager, op)(None, **args)
    if consumer:
        return getattr(manager, op)(None, key_id, consumer)
    method = {'get_key': manager.get, 'delete_key': manager.delete,
              'copy_key': manager.copy}[op]
    return method(None, key_id, **args)


def known(value):
    """Without what means the same as leaving it out."""
    if not isinstance(value, dict):
        return value
    return {k: known(v) for k, v in value.items()
            if v not in (None, False, []) and k not in ('id', 'later')}


def shown(value):
    """A call's value as the helper would have spelled it."""
    if isinstance(value, list):
        return [shown(item) for item in value]
    if hasattr(value, 'to_dict'):
        return dict(value.to_dict(), id=value.id)
    return value


@pytest.mark.parametrize(
    'example', [e for e in EXAMPLES if e['request']['op'] != 'check'],
    ids=lambda example: example['name'])
def test_literal_examples(manager, script, example):
    request, result = example['request'], example['response']['result']
    script.returns(**result)
    value = shown(call(manager, request['op'], request.get('args')))
    assert script.asked[0]['op'] == request['op']
    assert known(script.args()) == known(request.get('args') or {})
    for answered in result.values():
        for fields in answered if isinstance(answered, list) else [answered]:
            if isinstance(fields, dict):
                fields.pop('consumers')
                fields.pop('state')
    if len(result) == 1:
        assert [value] == list(result.values())
    elif result:
        assert value == tuple(result.values())


@pytest.mark.parametrize('example', ERRORS,
                         ids=lambda example: example['name'])
def test_literal_errors(manager, script, example):
    error = example['response']['error']
    script.answer = {'error': error}
    if error['kind'] == 'not_found':
        with pytest.raises(exception.ManagedObjectNotFoundError) as caught:
            manager.get(None, ID)
        assert ID in str(caught.value)
        return
    with pytest.raises(exception.KeyManagerError) as caught:
        manager.get(mock.Mock(spec=['to_dict'], to_dict=dict), ID)
    text = str(caught.value)
    assert error['message'] in text and error['kind'] in text
    assert (error['reason'] or '') in text
    assert (error['server'] or '') in text
    assert 'None' not in text
    assert ('Forbidden' in text) == (error['kind'] == 'forbidden')
    assert ('may have taken effect' in text) == error['maybe_executed']
    assert not isinstance(caught.value, exception.Forbidden)


def test_forbidden_without_context(manager, script):
    """Castellan's interface wants Forbidden, Cinder a KeyManagerError."""
    script.answer = {'error': {'kind': 'forbidden', 'message': 'no token'}}
    for expected in exception.Forbidden, exception.KeyManagerError:
        with pytest.raises(expected, match='Forbidden: no token'):
            manager.get(None, ID)


def test_not_found_without_id(manager, script):
    script.answer = {'error': {'kind': 'not_found', 'message': 'none'}}
    with pytest.raises(exception.KeyManagerError, match='Not found: none'):
        manager.create_key(None, 'AES', 256)


@pytest.mark.parametrize('error', [
    {}, {'kind': 'later', 'message': 'new'}, {'kind': 'config'},
    {'kind': ['x']}, {'kind': {}, 'message': 'new'},
    {'kind': 'config', 'message': 'new', 'reason': 7, 'server': ['x']},
    {'kind': 'internal', 'message': '100 %s %(reason)s'}])
def test_errors_of_another_form(manager, script, error):
    script.answer = {'error': error}
    with pytest.raises(exception.KeyManagerError) as caught:
        manager.get(None, ID)
    assert str(error.get('message')) in str(caught.value)


@pytest.mark.parametrize('wrong', [None, 5, '', {}, ['a']], ids=str)
def test_results_of_another_form(manager, script, wrong):
    script.returns(key_id=wrong, private_key_id=wrong, public_key_id=wrong,
                   object=wrong, objects=wrong and {})
    for call in (lambda: manager.create_key(None, 'AES', 256),
                 lambda: manager.create_key_pair(None, 'RSA', 2048),
                 lambda: manager.store(None, OBJECTS[0]),
                 lambda: manager.copy(None, ID),
                 lambda: manager.get(None, ID),
                 lambda: manager.list(None)):
        with pytest.raises(exception.KeyManagerError, match='helper answered'):
            call()


@pytest.mark.parametrize('wrong', [{'value': None}, {'id': None}], ids=str)
def test_object_without(manager, script, wrong):
    incomplete = dict(dict(OBJECTS[0].to_dict(), id=ID), **wrong)
    script.returns(object=incomplete, objects=[incomplete])
    for call in (lambda: manager.get(None, ID), lambda: manager.list(None)):
        with pytest.raises(exception.KeyManagerError, match='malformed'):
            call()


def test_malformed_object_is_not_shown(manager, script):
    script.returns(object=dict(OBJECTS[0].to_dict(), id=ID, value='s3cret'))
    with pytest.raises(exception.KeyManagerError) as caught:
        manager.get(None, ID)
    assert 's3cret' not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize('key_id', [None, ''])
@pytest.mark.parametrize('method', ['get', 'delete', 'copy'])
def test_no_id(manager, script, method, key_id):
    with pytest.raises(exception.KeyManagerError):
        getattr(manager, method)(None, key_id)
    with pytest.raises(exception.KeyManagerError):
        manager.add_consumer(None, key_id, CONSUMER)
    with pytest.raises(exception.KeyManagerError):
        manager.remove_consumer(None, key_id, CONSUMER)
    assert not script.asked


OBJECTS = [
    symmetric_key.SymmetricKey('AES', 16, b'\0\xff', name='k', created=7),
    symmetric_key.SymmetricKey(None, None, b'k'),
    public_key.PublicKey('RSA', 2048, b'public'),
    private_key.PrivateKey('RSA', 2048, b'private', name='p\xe9'),
    x_509.X509(b'certificate', name='c'),
    passphrase.Passphrase(b'pass', created=1),
    opaque_data.OpaqueData(b''),
]


@pytest.mark.parametrize('managed_object', OBJECTS,
                         ids=lambda o: type(o).__name__)
def test_objects(manager, script, managed_object):
    assert script.returns(key_id=ID) and manager.store(None, managed_object)
    fields = script.args()['object']
    assert fields == managed_object.to_dict()
    script.returns(object=dict(fields, id=ID, consumers=[], state=None))
    found = manager.get(None, ID)
    assert found == managed_object and type(found) is type(managed_object)
    assert found.id == ID
    assert (found.name, found.created) == (managed_object.name,
                                           managed_object.created)
    script.returns(object=dict(fields, value=None, id=ID))
    assert manager.get(None, ID, metadata_only=True).is_metadata_only()
    assert script.args() == {'key_id': ID, 'metadata_only': True}


@pytest.mark.parametrize('value, hexadecimal', [
    ('p\xe4ss', '70c3a47373'), (bytearray(b'\1\2'), '0102'),
    (memoryview(b'\1'), '01')])
def test_values_other_than_bytes(manager, script, value, hexadecimal):
    script.returns(key_id=ID)
    manager.store(None, passphrase.Passphrase(value))
    assert script.args()['object']['value'] == hexadecimal


class Unreadable(passphrase.Passphrase):
    def get_encoded(self):
        raise LookupError('secret')


@pytest.mark.parametrize('thing', [
    None, b'bytes', Unreadable(b'x'), object(), passphrase.Passphrase(None),
    passphrase.Passphrase(5), passphrase.Passphrase('secret\ud800'),
    passphrase.Passphrase(memoryview(b'secret')[::2])],
    ids=str)
def test_no_objects(manager, script, thing):
    with pytest.raises(exception.KeyManagerError) as caught:
        manager.store(None, thing)
    assert not script.asked
    assert 'secret' not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize('kind', [
    'symmetric', symmetric_key.SymmetricKey('AES', 8, b'k'), object, [], (),
    (passphrase.Passphrase, object)])
def test_list_of_no_type(manager, script, kind):
    with pytest.raises(exception.KeyManagerError, match='object type'):
        manager.list(None, object_type=kind)
    assert not script.asked


def test_consumers_and_force(manager, script):
    manager.add_consumer(None, ID, CONSUMER)
    assert script.args() == {'key_id': ID, 'consumer': CONSUMER}
    manager.remove_consumer(None, ID, CONSUMER)
    assert script.asked[-1]['op'] == 'remove_consumer'
    manager.delete(None, ID)
    assert script.args() == {'key_id': ID, 'force': False}
    manager.delete(None, ID, force=True)
    assert script.args() == {'key_id': ID, 'force': True}


@pytest.mark.parametrize('flag, sent', [(None, False), (0, False), ('', False),
                                        (1, True), ('yes', True)])
def test_flags_that_are_no_booleans(manager, script, flag, sent):
    """The helper takes no others."""
    manager.delete(None, ID, force=flag)
    assert script.args()['force'] is sent
    script.returns(object=dict(OBJECTS[0].to_dict(), id=ID), objects=[])
    manager.get(None, ID, metadata_only=flag)
    assert script.args()['metadata_only'] is sent
    manager.list(None, metadata_only=flag)
    assert script.args()['metadata_only'] is sent


def test_a_newer_castellan(manager):
    """Later versions have these as abstract methods."""
    for name in ('add_consumer', 'remove_consumer'):
        assert callable(getattr(manager, name))

    class Newer(castellan_key_manager.KeyManager):
        pass

    abstract = {name for name in dir(Newer)
                if getattr(getattr(Newer, name), '__isabstractmethod__', 0)}
    assert abstract <= set(dir(key_manager.KMIPKeyManager))


def test_init_does_nothing(monkeypatch):
    monkeypatch.setattr(helper, '_Helper', None)
    monkeypatch.setattr(helper.subprocess, 'Popen', None)
    monkeypatch.setattr('builtins.open', None)
    conf = cfg.ConfigOpts()
    for _ in range(3):
        key_manager.KMIPKeyManager(conf)
    assert conf.kmip.helper_mode == 'exec'


@pytest.mark.parametrize('backend', [
    'kmip', 'castellan_kmip.key_manager.KMIPKeyManager'])
def test_backend(backend, script):
    """With fixed_key castellan puts a class of its own around the driver."""
    script.returns(object=dict(OBJECTS[0].to_dict(), id=ID))
    for fixed_key in None, 'c0ffee':
        conf = cfg.ConfigOpts()
        conf([], project='nova', default_config_files=[])
        castellan.key_manager.API(conf)
        conf.set_override('backend', backend, 'key_manager')
        conf.set_override('fixed_key', fixed_key, 'key_manager')
        found = castellan.key_manager.API(conf)
        assert isinstance(found, key_manager.KMIPKeyManager)
        assert (fixed_key is None) == (
            type(found) is key_manager.KMIPKeyManager)
        assert found.get(None, ID) == OBJECTS[0]
        found.delete(None, ID)


def test_options_for_discovery(manager):
    (group, opts), = manager.list_options_for_discovery()
    assert group == 'kmip'
    assert len(opts) == 22
    assert all(opt.help for opt in opts)
    assert [opt.name for opt in opts if opt.secret] == ['password']


def test_legacy(script):
    conf = cfg.ConfigOpts()
    conf([], project='nova', default_config_files=[])
    keys = legacy.KeyManager(conf)
    script.returns(key_id=ID)
    assert keys.create_key(None, key_type='ignored') == ID
    assert script.args() == {'algorithm': 'AES', 'length': 256,
                             'expiration': None, 'name': None}
    assert keys.create_key(None, expiration='2030-01-01') == ID
    assert script.args()['expiration'] == '2030-01-01'
    assert keys.copy_key(None, ID) == ID
    old = mock.Mock(spec=['get_algorithm', 'get_format', 'get_encoded'])
    old.get_algorithm.return_value = 'AES'
    old.get_encoded.return_value = [0, 255]
    assert keys.store_key(None, old) == ID
    assert script.args()['object'] == {
        'type': 'symmetric', 'name': None, 'created': None, 'value': '00ff',
        'algorithm': 'AES', 'bit_length': 16}
    for value in 32, [256], ['a'], None, 'abcd', [2.5]:
        old.get_encoded.return_value = value
        with pytest.raises(exception.KeyManagerError, match='from 0 to 255'):
            keys.store_key(None, old)
    old.get_encoded.side_effect = LookupError('secret')
    with pytest.raises(exception.KeyManagerError) as caught:
        keys.store_key(None, old)
    assert 'secret' not in str(caught.value)
    assert keys.store_key(None, OBJECTS[0], '2030-01-01') == ID
    assert script.args()['expiration'] == '2030-01-01'
    script.returns(object=dict(OBJECTS[0].to_dict(), id=ID))
    assert keys.get_key(None, ID) == OBJECTS[0]
    script.returns()
    assert keys.delete_key(None, ID) is None
    assert [asked['op'] for asked in script.asked] == [
        'create_key', 'create_key', 'copy_key', 'store_key', 'store_key',
        'get_key', 'delete_key']
    assert options.HELPER == 'kmip-keymgr-helper'
