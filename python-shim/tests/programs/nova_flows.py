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

"""What Nova does with secrets, by Nova's own code, for each configuration.

The arguments are configurations, each the paths of its files joined with ':'.
Who asks is read from standard input, since it is secret: a JSON list of the
fields of a user's context.
"""

import base64
import json
import sys
import types
import uuid

from castellan.common import exception
from castellan.common.objects import passphrase
from castellan import key_manager
from keystoneauth1 import loading
from keystoneauth1 import service_token
from oslo_utils import uuidutils

import nova.conf
from nova import context
from nova import crypto

CONF = nova.conf.CONF


class Plugin(object):
    """An auth plugin that has the token already."""

    def __init__(self, token):
        self.token = token

    def get_token(self, session):
        return self.token


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


def is_refused(flow, ctxt):
    """Whether Nova sees that the key manager does not let it in."""
    try:
        flow(ctxt)
    except exception.KeyManagerError as e:
        return 'Forbidden' in str(e) and 'tokenless' in str(e)
    return False


def boot(user, ctxt):
    """Starting a user's instance with a context that is not the user's."""
    instance = new_instance()
    made = crypto.ensure_vtpm_secret(user, instance)
    try:
        assert crypto.ensure_vtpm_secret(ctxt, instance) == made
        assert CONF.kmip.mode == 'standalone'
    except exception.ManagedObjectNotFoundError:
        assert CONF.kmip.mode == 'integrated'  # another project's is hidden
    assert crypto.ensure_vtpm_secret(user, instance) == made
    crypto.delete_vtpm_secret(user, instance)


def main():
    assert CONF.kmip.port == 5696  # registered by nova.conf
    who = json.load(sys.stdin)[0]
    done = []
    for files in sys.argv[1:]:
        CONF(['--config-file=' + path for path in files.split(':')],
             project='nova')
        # The plugin logs in with [service_user], where there is one.
        plugin = loading.load_auth_from_conf_options(CONF, 'service_user')
        plugin = plugin or Plugin('a token')
        user = context.RequestContext(**who)
        plugged = context.RequestContext(
            **dict(who, auth_token=None),
            user_auth_plugin=service_token.ServiceTokenAuthWrapper(
                Plugin(who['auth_token']), plugin))
        service = context.RequestContext(None, None, is_admin=True,
                                         user_auth_plugin=plugin)
        tokenless = [context.get_admin_context(), None]
        refused = (CONF.kmip.mode, CONF.kmip.tokenless) == ('integrated',
                                                            'refuse')
        for flow in vtpm, ephemeral:
            for ctxt in (user, context.RequestContext.from_dict(
                    user.to_dict()), user.elevated(), plugged, service):
                flow(ctxt)
                done.append(flow.__name__)
            for ctxt in tokenless:
                if refused:
                    assert is_refused(flow, ctxt)
                else:
                    flow(ctxt)
                done.append(flow.__name__)
        for ctxt in [service] + ([] if refused else tokenless):
            boot(user, ctxt)
            done.append(boot.__name__)
    print(json.dumps(done))


main()
