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

"""What becomes of a context: the one place that decides it.

==========================  ===================================================
context                     what the helper is told
==========================  ===================================================
None                        null
RequestContext, any         to_dict(), and what the OpenStack credential holds
subclass                    besides: the service token, names, domains
... without an auth_token   the same, with the token of its auth plugin if that
                            has one
castellan's credentials     {"castellan": {"type": ..., and its fields}}
... a KeystoneToken         project_id beside it: the project that it is for
anything else               nothing: KeyManagerError
==========================  ===================================================

A context holds tokens and passwords: nothing of it is ever logged.
"""

from castellan.common.credentials import keystone_password
from castellan.common.credentials import keystone_token
from castellan.common.credentials import password
from castellan.common.credentials import token
from castellan.common import exception
from keystoneauth1 import loading
from keystoneauth1 import session
from oslo_config import cfg
from oslo_log import log as logging

LOG = logging.getLogger(__name__)

_SCOPE = ('auth_url', 'trust_id', 'domain_id', 'domain_name', 'project_id',
          'project_name', 'project_domain_id', 'project_domain_name',
          'reauthenticate')

# Subclasses come before the classes they are made from.
_CREDENTIALS = (
    (keystone_password.KeystonePassword, 'keystone_password',
     ('username', 'password', 'user_id', 'user_domain_id',
      'user_domain_name') + _SCOPE),
    (keystone_token.KeystoneToken, 'keystone_token', ('token',) + _SCOPE),
    (password.Password, 'password', ('username', 'password')),
    (token.Token, 'token', ('token',)),
)

# What one or another to_dict() leaves out.
_EXTRA_FIELDS = (
    'service_token', 'user_id', 'user_name', 'user_domain_id', 'project_id',
    'project_name', 'project_domain_id', 'domain_id', 'remote_address',
    'timestamp')


def to_dict(context, conf):
    """The context as the helper takes it, None for none."""
    if context is None:
        return None
    try:
        told, get_plugin = _read(context)
    except Exception as e:
        # Its text might show what is secret.
        raise exception.KeyManagerError(
            reason='%s cannot be read: %s' % (type(context).__name__,
                                              type(e).__name__)) from None
    if told is None:
        raise exception.KeyManagerError(
            reason='%s is not a context' % type(context).__name__)
    if get_plugin is not None and not told.get('auth_token'):
        told['auth_token'] = _plugin_token(get_plugin, conf)
    return told


def _read(context):
    """What it tells, and what gives its auth plugin; None for what is not."""
    for cls, name, fields in _CREDENTIALS:
        if isinstance(context, cls):
            credential = {field: getattr(context, field) for field in fields}
            told: dict = {'castellan': dict(credential, type=name)}
            if name == 'keystone_token':
                told['project_id'] = context.project_id
            return told, None
    if not callable(getattr(context, 'to_dict', None)):
        return None, None
    told = dict(context.to_dict())
    for name in _EXTRA_FIELDS:
        if told.get(name) is None:
            told[name] = getattr(context, name, None)
    return told, getattr(context, 'get_auth_plugin', None)


def _plugin_token(get_plugin, conf):
    """The token of a service's own context, which is nowhere else."""
    try:
        return get_plugin().get_token(_session(conf))
    except Exception as e:
        # What to do without a token is for the helper to decide. The text of
        # the exception is not ours and might hold one.
        LOG.warning('The context\'s auth plugin gave no token: %s',
                    type(e).__name__)
        return None


def _session(conf):
    # Keystone's certificate authority is the one that the service trusts when
    # it sends its own token; a Keystone that hangs must not hold up the call.
    # A plugin may ask twice, and the helper needs time too.
    timeout = conf.kmip.timeout / 3
    try:
        return loading.load_session_from_conf_options(
            conf, 'service_user', timeout=timeout)
    except cfg.NoSuchOptError:
        return session.Session(timeout=timeout)
