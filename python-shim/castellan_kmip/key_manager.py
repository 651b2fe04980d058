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

"""The key manager that Nova and Cinder load with [key_manager] backend = kmip.

It translates between Castellan and the helper's protocol. Everything that has
to do with KMIP is the helper's.
"""

import binascii
import time

from castellan.common import exception
from castellan.common import objects
from castellan.common.objects import key as key_base_class
from castellan.key_manager import key_manager
from oslo_config import cfg

from castellan_kmip import contexts
from castellan_kmip import errors
from castellan_kmip import helper
from castellan_kmip import options


class KMIPKeyManager(key_manager.KeyManager):
    """Keeps keys in a KMIP key manager."""

    def __init__(self, configuration):
        # Every installed driver is made, chosen or not, and again for many an
        # operation: what takes time or may fail is left to the calls.
        self.conf = configuration
        self.conf.register_opts(options.OPTS, group=options.GROUP)
        if getattr(configuration, '_namespace', None) is not None:
            # The service may yet go to another directory.
            options.kept_arguments(configuration)

    def create_key(self, context, algorithm, length,
                   expiration=None, name=None):
        """Creates a symmetric key.

        :param expiration: when the key expires, ISO 8601
        :returns: the id of the key
        :raises KeyManagerError: if the key cannot be created
        """
        result = self._call('create_key', context, algorithm=algorithm,
                            length=length, expiration=expiration, name=name)
        return _field(result, 'key_id')

    def create_key_pair(self, context, algorithm, length,
                        expiration=None, name=None):
        """Creates an asymmetric key pair.

        :returns: the ids of the keys, (private, public)
        :raises KeyManagerError: if the pair cannot be created
        """
        result = self._call('create_key_pair', context, algorithm=algorithm,
                            length=length, expiration=expiration, name=name)
        return _field(result, 'private_key_id'), _field(result,
                                                        'public_key_id')

    def store(self, context, managed_object, expiration=None):
        """Stores an object.

        :returns: the id of the object
        :raises KeyManagerError: if the object cannot be stored
        """
        result = self._call('store_key', context, expiration=expiration,
                            object=_to_dict(managed_object))
        return _field(result, 'key_id')

    def copy(self, context, managed_object_id):
        """Copies an object, which does not leave the helper.

        :returns: the id of the copy
        :raises KeyManagerError: if the object cannot be copied
        :raises ManagedObjectNotFoundError: if there is no such object
        """
        return _field(self._call_on('copy_key', context, managed_object_id),
                      'key_id')

    def get(self, context, managed_object_id, metadata_only=False):
        """Retrieves an object.

        :param metadata_only: whether to leave the secret itself behind
        :raises KeyManagerError: if the object cannot be retrieved
        :raises ManagedObjectNotFoundError: if there is no such object
        """
        result = self._call_on('get_key', context, managed_object_id,
                               metadata_only=bool(metadata_only))
        return _from_dict(_field(result, 'object', dict), metadata_only)

    def delete(self, context, managed_object_id, force=False):
        """Deletes an object.

        :param force: whether to delete it even if it has consumers
        :raises KeyManagerError: if the object cannot be deleted
        :raises ManagedObjectNotFoundError: if there is no such object
        """
        self._call_on('delete_key', context, managed_object_id,
                      force=bool(force))

    def list(self, context, object_type=None, metadata_only=False):
        """Lists the objects that the context may see.

        :param object_type: the class of the objects, None for all
        :raises KeyManagerError: if they cannot be listed
        """
        if object_type is not None:
            try:
                object_type = self._secret_type_dict[object_type]
            except (KeyError, TypeError):
                raise exception.KeyManagerError(
                    reason='Invalid object type: %s' % (object_type,))
        result = self._call('list_keys', context, object_type=object_type,
                            metadata_only=bool(metadata_only))
        return [_from_dict(fields, metadata_only)
                for fields in _field(result, 'objects', list)]

    def add_consumer(self, context, managed_object_id, consumer_data):
        """Registers a consumer; its object is not deleted without force.

        :param consumer_data: dict of service, resource_type, resource_id
        :raises KeyManagerError: if the consumer cannot be added
        :raises ManagedObjectNotFoundError: if there is no such object
        """
        self._call_on('add_consumer', context, managed_object_id,
                      consumer=consumer_data)

    def remove_consumer(self, context, managed_object_id, consumer_data):
        """Removes a consumer.

        :param consumer_data: as for add_consumer
        :raises KeyManagerError: if the consumer cannot be removed
        :raises ManagedObjectNotFoundError: if there is no such object
        """
        self._call_on('remove_consumer', context, managed_object_id,
                      consumer=consumer_data)

    def list_options_for_discovery(self):
        return options.list_opts()

    def _call_on(self, op, context, key_id, **args):
        if not key_id:
            raise exception.KeyManagerError(
                reason='%s: no id was given' % op)
        return self._call(op, context, key_id=key_id, **args)

    def _arguments(self):
        try:
            options.refuse_overrides(self.conf)
            return options.kept_arguments(self.conf)
        except AttributeError as e:
            # Of what is private in oslo.config, and used there too.
            raise exception.KeyManagerError(
                reason='the driver does not know this oslo.config: %s' % e)

    def _call(self, op, context, **args):
        try:
            # An attribute would be looked for, and missed, before the option.
            kmip = self.conf[options.GROUP]
            until = time.monotonic() + kmip['timeout']
            command = ((kmip['helper'] or options.HELPER,)
                       + self._arguments())
            answer = helper.ask(
                command, kmip['helper_mode'] == 'session', op,
                contexts.to_dict(context, self.conf), args, until)
        except (helper.HelperError, cfg.Error, RecursionError) as e:
            raise exception.KeyManagerError(reason=e)
        except (TypeError, ValueError) as e:
            raise exception.KeyManagerError(
                reason='the request %s cannot be written: %s' % (op, e))
        if 'error' in answer:
            raise errors.from_answer(
                answer['error'], args.get('key_id'), context)
        return answer['result']


def _field(result, name, kind=str):
    value = result.get(name)
    if not isinstance(value, kind) or not value and kind is str:
        raise exception.KeyManagerError(
            reason='the helper answered without %s' % name)
    return value


def _to_dict(managed_object):
    """The object as to_dict() of castellan gives it, but for text as value.

    castellan's own fails on values that Nova makes from text.
    """
    try:
        value = managed_object.get_encoded()
        if isinstance(value, str):
            value = value.encode('utf-8')
        fields = {'type': managed_object.managed_type(),
                  'name': managed_object.name,
                  'created': managed_object.created,
                  'value': binascii.hexlify(value).decode('ascii')}
        if isinstance(managed_object, key_base_class.Key):
            fields['algorithm'] = managed_object.algorithm
            fields['bit_length'] = managed_object.bit_length
    except Exception:
        # Its text might show what is secret, so it is not passed on.
        raise exception.KeyManagerError(
            reason='%s cannot be stored' % type(managed_object).__name__
        ) from None
    return fields


def _from_dict(fields, metadata_only):
    try:
        if not isinstance(fields['id'], str) or (
                fields['value'] is None and not metadata_only):
            raise ValueError
        return objects.from_dict(fields, id=fields['id'])
    except (exception.CastellanException, AttributeError, KeyError, TypeError,
            ValueError):
        raise exception.KeyManagerError(
            reason='the helper answered with a malformed object'
        ) from None
