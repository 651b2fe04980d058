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

"""What Cinder does with keys, by Cinder's own code, for each configuration.

The arguments are configurations, each the paths of its files joined with ':'.
Who asks is read from standard input, since it is secret: a JSON list of the
fields of the contexts of a user, of one of another project, and of the first
once more, who has what a long job has left: an expired token beside a service
token.
"""

import json
import sys
import types
from unittest import mock
import uuid
import warnings

from castellan.common import exception
from castellan import key_manager
from keystoneauth1 import loading
from oslo_config import cfg
from oslo_versionedobjects import fields

from cinder import objects
objects.register_all()

from cinder import context
from cinder.keymgr import transfer
from cinder.volume import volume_types
from cinder.volume import volume_utils

CONF = cfg.CONF


def is_id(value):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        return fields.UUIDField().coerce(None, 'encryption_key_id', value)


def service():
    """Cinder's own credential. In standalone mode it sees all keys."""
    return transfer.KeyTransfer(CONF).service_context


def is_hidden(manager, key_id, ctxt):
    """Whether the key is as if it were not there."""
    for call in manager.get, manager.delete:
        try:
            call(ctxt, key_id)
            return False
        except exception.ManagedObjectNotFoundError:
            pass
    return True


def is_gone(manager, key_id, *owners):
    return all(is_hidden(manager, key_id, ctxt)
               for ctxt in owners + (service(),))


def create(ctxt, manager):
    return is_id(volume_utils.create_encryption_key(ctxt, manager, 'a type'))


def volume_key(manager, alice, bob, late):
    for ctxt in alice, alice.elevated(), late:
        key_id = create(ctxt, manager)
        key = manager.get(ctxt, key_id)
        assert (key.bit_length, len(key.get_encoded())) == (256, 32)
        clone_id = volume_utils.clone_encryption_key(ctxt, manager, key_id)
        assert is_id(clone_id) != key_id
        assert manager.get(alice, clone_id) == key
        assert is_hidden(manager, key_id, bob)
        for _ in range(2):
            volume_utils.delete_encryption_key(ctxt, manager, key_id)
        assert is_gone(manager, key_id, alice, bob)
        volume_utils.delete_encryption_key(ctxt, manager, clone_id)
        assert is_gone(manager, clone_id, alice, bob)


def delete_as_the_service(manager, alice, bob, _late):
    """Cinder's second attempt, with a KeystonePassword.

    It deletes what the service may delete: in standalone mode all keys, in
    integrated mode those of the service's own project.
    """
    integrated = CONF.kmip.mode == 'integrated'
    theirs = create(alice, manager)
    key = manager.get(alice, theirs)
    own = is_id(manager.store(service(), key))
    refusal = exception.KeyManagerError(reason='Forbidden')
    with mock.patch.object(manager, 'delete', side_effect=refusal):
        for key_id in theirs, own:
            volume_utils.delete_encryption_key(alice, manager, key_id)
    assert is_gone(manager, own, alice, bob)
    if integrated:
        assert manager.get(alice, theirs) == key
        # The first attempt fails by itself here, since the token is refused.
        own = manager.store(service(), key)
        nobody = context.RequestContext(auth_token='garbage', is_admin=False)
        for key_id in theirs, own:
            volume_utils.delete_encryption_key(nobody, manager, key_id)
        assert is_gone(manager, own, bob)
        assert manager.get(alice, theirs) == key
        volume_utils.delete_encryption_key(alice, manager, theirs)
    assert is_gone(manager, theirs, alice, bob)


def delete_as_an_administrator(manager, alice, bob, _late):
    """An administrator deletes a volume of another project's.

    What is forbidden to him is not gone: Cinder deletes it as the service
    itself, which may in standalone mode. Other keys he is not told of.
    """
    if CONF.kmip.mode == 'integrated':
        return
    admin = context.RequestContext.from_dict(
        dict(bob.to_dict(), is_admin=True))
    key_id = create(alice, manager)
    try:
        manager.get(admin, key_id)
        raise AssertionError('the key of another project')
    except exception.ManagedObjectNotFoundError:
        pass
    volume_utils.delete_encryption_key(admin, manager, key_id)
    assert is_gone(manager, key_id, alice, bob, admin)
    volume_utils.delete_encryption_key(admin, manager, key_id)


def transfer_volume(manager, alice, bob, _late):
    volume = mock.Mock(id=str(uuid.uuid4()))
    volume.encryption_key_id = create(alice, manager)
    key = manager.get(alice, volume.encryption_key_id)
    for step, ctxt, holder in (
            (transfer.transfer_create, alice, service()),
            (transfer.transfer_delete, alice, alice),
            (transfer.transfer_create, alice, service()),
            (transfer.transfer_accept, bob, bob)):
        before = volume.encryption_key_id
        step(ctxt, volume, CONF)
        after = volume.encryption_key_id
        assert is_id(after) != before
        assert is_gone(manager, before, alice, bob)
        assert manager.get(holder, after) == key
        for other in alice, bob:
            assert other is holder or is_hidden(manager, after, other)
    volume_utils.delete_encryption_key(bob, manager, after)
    assert is_gone(manager, after, alice, bob)


def main():
    CONF.register_opts(loading.get_auth_plugin_conf_options('v3password'),
                       group='keystone_authtoken')
    contexts = [context.RequestContext(**who) for who in json.load(sys.stdin)]
    # As cinder-volume gets them from cinder-api; a service token stays behind.
    contexts[:2] = [context.RequestContext.from_dict(ctxt.to_dict())
                    for ctxt in contexts[:2]]
    encryption = types.SimpleNamespace(cipher='aes-xts-plain64', key_size=256)
    done = []
    for files in sys.argv[1:]:
        CONF(['--config-file=' + path for path in files.split(':')],
             project='cinder')
        for flow in (volume_key, delete_as_the_service,
                     delete_as_an_administrator, transfer_volume):
            with mock.patch.object(volume_types, 'is_encrypted',
                                   return_value=True), \
                    mock.patch.object(volume_types,
                                      'get_volume_type_encryption',
                                      return_value=encryption), \
                    mock.patch.object(objects.snapshot.SnapshotList,
                                      'get_all_for_volume', return_value=[]):
                flow(key_manager.API(CONF), *contexts)
            done.append(flow.__name__)
    print(json.dumps(done))


main()
