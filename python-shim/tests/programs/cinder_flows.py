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

"""What Cinder does with keys, by Cinder's own code, for each cinder.conf."""

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


def is_gone(manager, key_id):
    try:
        manager.get(None, key_id)
    except exception.ManagedObjectNotFoundError:
        return True
    return False


def volume_key(ctxt, manager):
    key_id = volume_utils.create_encryption_key(ctxt, manager, 'a type')
    assert is_id(key_id)
    key = manager.get(ctxt, key_id)
    assert (key.bit_length, len(key.get_encoded())) == (256, 32)
    clone_id = volume_utils.clone_encryption_key(ctxt, manager, key_id)
    assert is_id(clone_id) != key_id
    assert manager.get(ctxt, clone_id) == key
    for _ in range(2):
        volume_utils.delete_encryption_key(ctxt, manager, key_id)
    assert is_gone(manager, key_id)
    volume_utils.delete_encryption_key(ctxt, manager, clone_id)
    assert is_gone(manager, clone_id)


def delete_as_the_service(ctxt, manager):
    """Cinder's second attempt, with a KeystonePassword."""
    key_id = volume_utils.create_encryption_key(ctxt, manager, 'a type')
    with mock.patch.object(manager, 'delete',
                           side_effect=exception.KeyManagerError):
        volume_utils.delete_encryption_key(ctxt, manager, key_id)
    assert is_gone(manager, key_id)


def transfer_volume(ctxt, manager):
    volume = mock.Mock(id=str(uuid.uuid4()))
    volume.encryption_key_id = first = volume_utils.create_encryption_key(
        ctxt, manager, 'a type')
    key = manager.get(ctxt, first)
    other = context.RequestContext('u2', uuid.uuid4().hex, is_admin=False)
    transfer.transfer_create(ctxt, volume, CONF)
    second = volume.encryption_key_id
    assert second != first and is_gone(manager, first)
    transfer.transfer_accept(other, volume, CONF)
    third = volume.encryption_key_id
    assert is_id(third) != second and is_gone(manager, second)
    assert manager.get(other, third) == key
    volume_utils.delete_encryption_key(other, manager, third)
    assert is_gone(manager, third)


def main():
    CONF.register_opts(loading.get_auth_plugin_conf_options('v3password'),
                       group='keystone_authtoken')
    done = []
    for path in sys.argv[1:]:
        CONF(['--config-file', path], project='cinder')
        encryption = types.SimpleNamespace(cipher='aes-xts-plain64',
                                           key_size=256)
        for flow in volume_key, delete_as_the_service, transfer_volume:
            ctxt = context.RequestContext('u', uuid.uuid4().hex,
                                          is_admin=False, auth_token='t')
            with mock.patch.object(volume_types, 'is_encrypted',
                                   return_value=True), \
                    mock.patch.object(volume_types,
                                      'get_volume_type_encryption',
                                      return_value=encryption), \
                    mock.patch.object(objects.snapshot.SnapshotList,
                                      'get_all_for_volume', return_value=[]):
                flow(ctxt, key_manager.API(CONF))
            done.append(flow.__name__)
    print(json.dumps(done))


main()
