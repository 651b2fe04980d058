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

"""Castellan's own functional suite, through API() and the entry point."""

import unittest

from castellan.common import exception
from castellan.common.objects import symmetric_key
from castellan import key_manager
from castellan.tests.functional.key_manager import test_key_manager
from oslo_config import cfg
from oslo_context import context
from oslo_utils import uuidutils
import pytest

from castellan_kmip import key_manager as kmip_key_manager


class Functional(test_key_manager.KeyManagerTestCase):
    kind: str
    mode: str
    with_context = True

    @pytest.fixture(autouse=True, scope='class')
    def start(self, request):
        request.cls.peer = request.getfixturevalue(self.kind)

    def _create_key_manager(self):
        conf = cfg.ConfigOpts()
        conf(['--config-file', self.peer.write_conf('nova', self.mode)],
             project='nova')
        manager = key_manager.API(conf)
        assert type(manager) is kmip_key_manager.KMIPKeyManager
        return manager

    def setUp(self):
        super().setUp()
        if self.with_context:
            self.ctxt = context.RequestContext(
                user_id='u', project_id=uuidutils.generate_uuid(False),
                overwrite=False)

    def test_null_object(self):
        for call in self.key_mgr.get, self.key_mgr.delete:
            self.assertRaises(exception.KeyManagerError, call, self.ctxt, None)

    def test_unknown_object(self):
        for call in self.key_mgr.get, self.key_mgr.delete:
            self.assertRaises(exception.ManagedObjectNotFoundError, call,
                              self.ctxt, uuidutils.generate_uuid())

    def test_what_nova_and_cinder_ask_for(self):
        for algorithm, length in ('aes', 256), ('AES', 512), ('aes', 128):
            key_id = self.key_mgr.create_key(
                self.ctxt, algorithm=algorithm, length=length, name='n')
            self.addCleanup(self.key_mgr.delete, self.ctxt, key_id)
            self.assertTrue(uuidutils.is_uuid_like(key_id))
            key = self.key_mgr.get(self.ctxt, key_id)
            self.assertIsInstance(key, symmetric_key.SymmetricKey)
            self.assertEqual(length, len(key.get_encoded()) * 8)
            self.assertEqual((length, 'AES', 'n', key_id), (
                key.bit_length, key.algorithm.upper(), key.name, key.id))
            self.assertIsInstance(key.created, int)

    def test_copy(self):
        key_id = self.key_mgr.create_key(self.ctxt, 'AES', 256)
        self.addCleanup(self.key_mgr.delete, self.ctxt, key_id)
        copy_id = self.key_mgr.copy(self.ctxt, key_id)
        self.addCleanup(self.key_mgr.delete, self.ctxt, copy_id)
        self.assertNotEqual(key_id, copy_id)
        self.assertEqual(self.key_mgr.get(self.ctxt, key_id),
                         self.key_mgr.get(self.ctxt, copy_id))

    def test_consumers(self):
        consumer = {'service': 'cinder', 'resource_type': 'volume',
                    'resource_id': uuidutils.generate_uuid()}
        key_id = self.key_mgr.create_key(self.ctxt, 'AES', 256)
        if self.kind == 'pykmip':  # which cannot change attributes
            self.addCleanup(self.key_mgr.delete, self.ctxt, key_id)
            with self.assertRaisesRegex(exception.KeyManagerError,
                                        'Not supported'):
                self.key_mgr.add_consumer(self.ctxt, key_id, consumer)
            return
        self.key_mgr.add_consumer(self.ctxt, key_id, consumer)
        self.assertRaises(exception.KeyManagerError, self.key_mgr.delete,
                          self.ctxt, key_id)
        self.key_mgr.remove_consumer(self.ctxt, key_id, consumer)
        self.key_mgr.add_consumer(self.ctxt, key_id, consumer)
        self.key_mgr.delete(self.ctxt, key_id, force=True)
        self.assertRaises(exception.ManagedObjectNotFoundError,
                          self.key_mgr.get, self.ctxt, key_id)

    def test_expiration(self):
        """Never dropped without a word, by whatever server."""
        try:
            key_id = self.key_mgr.create_key(
                self.ctxt, 'AES', 256, expiration='2040-01-02T03:04:05')
        except exception.KeyManagerError as e:
            self.assertEqual('pykmip', self.kind)
            self.assertIn('Deactivation Date', str(e))
        else:
            self.key_mgr.delete(self.ctxt, key_id)

    def test_other_project(self):
        if not self.with_context:
            self.skipTest('without a context there is no project')
        key_id = self.key_mgr.create_key(self.ctxt, 'AES', 256)
        self.addCleanup(self.key_mgr.delete, None, key_id)
        other = context.RequestContext(project_id='other', overwrite=False)
        self.assertRaises(exception.CastellanException, self.key_mgr.get,
                          other, key_id)
        self.assertEqual([], self.key_mgr.list(other))


class MockExec(Functional, unittest.TestCase):
    kind, mode = 'mock', 'exec'


class MockSession(Functional, unittest.TestCase):
    kind, mode = 'mock', 'session'


class MockSessionWithoutContext(Functional, unittest.TestCase):
    kind, mode, with_context = 'mock', 'session', False


class PyKMIPExec(Functional, unittest.TestCase):
    kind, mode = 'pykmip', 'exec'


class PyKMIPSession(Functional, unittest.TestCase):
    kind, mode = 'pykmip', 'session'
