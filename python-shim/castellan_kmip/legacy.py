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

"""The key manager's interface of 2013, nova.keymgr.key_mgr.KeyManager."""

from castellan.common import exception
from castellan.common.objects import symmetric_key

from castellan_kmip import key_manager


class KeyManager(object):
    """The five calls of 2013, on the same key manager.

    Arguments that the interface does not have are passed over, as they were.
    """

    def __init__(self, configuration):
        self._manager = key_manager.KMIPKeyManager(configuration)

    def create_key(self, ctxt, algorithm='AES', length=256, expiration=None,
                   **kwargs):
        return self._manager.create_key(ctxt, algorithm, length, expiration)

    def store_key(self, ctxt, key, expiration=None, **kwargs):
        return self._manager.store(ctxt, _modern(key), expiration)

    def copy_key(self, ctxt, key_id, **kwargs):
        return self._manager.copy(ctxt, key_id)

    def get_key(self, ctxt, key_id, **kwargs):
        return self._manager.get(ctxt, key_id)

    def delete_key(self, ctxt, key_id, **kwargs):
        self._manager.delete(ctxt, key_id)


def _modern(key):
    """A key of 2013's nova.keymgr.key, a list of numbers, as castellan's."""
    if not hasattr(key, 'get_algorithm'):
        return key
    try:
        value = bytes(list(key.get_encoded()))
        return symmetric_key.SymmetricKey(
            key.get_algorithm(), len(value) * 8, value)
    except Exception:
        # Its text might show what is secret.
        raise exception.KeyManagerError(
            reason='a key is a list of numbers from 0 to 255, with an '
                   'algorithm') from None
