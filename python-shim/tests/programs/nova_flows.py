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

"""What Nova does with secrets, by Nova's own code, for each nova.conf."""

import base64
import json
import sys
import types
import uuid

from castellan.common import exception
from castellan.common.objects import passphrase
from castellan import key_manager
from oslo_utils import uuidutils

import nova.conf
from nova import context
from nova import crypto

CONF = nova.conf.CONF


class Plugin(object):
    def get_token(self, session):
        return 'a token'


def new_instance():
    return types.SimpleNamespace(uuid=str(uuid.uuid4()), system_metadata={},
                                 save=lambda: None)


def vtpm(ctxt):
    instance = new_instance()
    secret_id, secret = crypto.ensure_vtpm_secret(ctxt, instance)
    assert uuidutils.is_uuid_like(secret_id)
    assert len(base64.b64decode(secret)) == 384
    assert crypto.ensure_vtpm_secret(ctxt, instance) == (secret_id, secret)
    manager = key_manager.API(CONF)
    assert instance.uuid in manager.get(ctxt, secret_id).name
    crypto.delete_vtpm_secret(ctxt, instance)
    assert instance.system_metadata == {}
    instance.system_metadata['vtpm_secret_uuid'] = secret_id
    try:
        crypto.ensure_vtpm_secret(ctxt, instance)
        raise AssertionError('the secret is still there')
    except exception.ManagedObjectNotFoundError:
        crypto.delete_vtpm_secret(ctxt, instance)


def ephemeral(ctxt):
    manager = key_manager.API(CONF)
    key_id = manager.create_key(ctxt, algorithm='AES', length=512)
    assert len(manager.get(ctxt, key_id).get_encoded()) == 64
    manager.delete(ctxt, key_id)
    text_id = manager.store(ctxt, passphrase.Passphrase('p\xe4ss'))
    assert manager.get(ctxt, text_id).get_encoded() == 'p\xe4ss'.encode()
    manager.delete(ctxt, text_id)


def main():
    assert CONF.kmip.port == 5696  # registered by nova.conf
    done = []
    for path in sys.argv[1:]:
        CONF(['--config-file', path], project='nova')
        user = context.RequestContext('u', uuid.uuid4().hex, is_admin=False,
                                      auth_token='t')
        service = context.RequestContext(None, None, is_admin=True,
                                         user_auth_plugin=Plugin())
        for flow in vtpm, ephemeral:
            for ctxt in user, service, context.get_admin_context(), None:
                flow(ctxt)
                done.append(flow.__name__)
    print(json.dumps(done))


main()
