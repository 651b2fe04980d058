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

"""The options of [kmip].

The helper reads the same section from the same files, and is the one that
judges it: the types here take whatever the helper takes.
"""

import copy
import math
import os

from oslo_config import cfg
from oslo_config import types

GROUP = 'kmip'
HELPER = 'kmip-keymgr-helper'
# What the driver reads itself; all else is the helper's.
_OURS = frozenset(['timeout', 'helper', 'helper_mode'])
# What oslo.config notes beside an option for set_override() and set_default().
_SET_IN_CODE = frozenset(['override', 'default'])


class Seconds(types.Float):
    """A length of time, where oslo's own float may be nan or nothing."""

    def __init__(self, min=0.0):
        super().__init__(min=min, max=9e9, type_name='seconds')

    def __call__(self, value):
        seconds = super().__call__(value)
        if seconds is None or not math.isfinite(seconds):
            raise ValueError('Should be a number of seconds')
        return seconds


OPTS = [
    cfg.ListOpt(
        'host',
        default=['localhost'],
        help='One or more key management servers, name[:port], in order of '
             'preference. An IPv6 address stands in brackets.'),
    cfg.PortOpt(
        'port',
        min=1,
        default=5696,
        help='Port of every host that does not name its own.'),
    cfg.StrOpt(
        'certfile',
        help='File with the client certificate (PEM). Required.'),
    cfg.StrOpt(
        'keyfile',
        help='File with the private key of the client certificate (PEM), '
             'which others must not be able to read. Required.'),
    cfg.StrOpt(
        'ca_certs',
        help='File with the CA certificates that servers are verified '
             'against (PEM). Required.'),
    cfg.StrOpt(
        'server_name',
        help='Name to verify in the server\'s certificate, if not the '
             'host\'s.'),
    cfg.StrOpt(
        'tls_min_version',
        default='1.2',
        choices=['1.2', '1.3'],
        help='Oldest version of TLS to speak.'),
    cfg.ListOpt(
        'tls_ciphers',
        help='TLS 1.2 cipher suites to offer, by their IANA names, for '
             'servers that know none of the secure ones offered by default.'),
    cfg.StrOpt(
        'username',
        help='User name that is sent to the server beside the certificate.'),
    cfg.StrOpt(
        'password',
        secret=True,
        help='Password that goes with the user name.'),
    cfg.StrOpt(
        'mode',
        default='standalone',
        choices=[
            ('standalone', 'The server knows the client by its certificate.'),
            ('integrated', 'The server understands the OpenStack credential, '
                           'which goes along with every request.')],
        help='What the server knows of OpenStack.'),
    cfg.StrOpt(
        'tokenless',
        default='refuse',
        choices=[
            ('refuse', 'Such a request is refused.'),
            ('service', 'The identity in [kmip_service_user] is used.')],
        help='What becomes of a request without a token in integrated mode.'),
    cfg.StrOpt(
        'kmip_version',
        default='auto',
        choices=['auto', '1.0', '1.1', '1.2', '1.3', '1.4', '2.0', '2.1'],
        help='Version of KMIP to speak; by default 1.4 where the server '
             'speaks it, or else another that both sides know.'),
    cfg.Opt(
        'connect_timeout',
        type=Seconds(1e-9),
        default=5.0,
        help='Seconds that one attempt to connect may take.'),
    cfg.Opt(
        'timeout',
        type=Seconds(1e-9),
        default=30.0,
        help='Seconds that a whole request may take with all its retries.'),
    cfg.IntOpt(
        'max_retries',
        default=3,
        min=0,
        max=1000000,
        help='Further attempts after one that failed.'),
    cfg.Opt(
        'retry_interval',
        type=Seconds(),
        default=0.5,
        help='Seconds before the first further attempt, doubling with each.'),
    cfg.BoolOpt(
        'activate',
        default=True,
        help='Whether new keys are left in the state Active.'),
    cfg.BoolOpt(
        'project_isolation',
        default=True,
        help='Whether in standalone mode a request for a project sees that '
             'project\'s keys alone. A request without a project is the '
             'service\'s own and sees all.'),
    cfg.StrOpt(
        'object_group',
        help='Object Group that new objects belong to.'),
    cfg.StrOpt(
        'helper',
        sample_default=HELPER,
        help='Path of the helper; by default it is looked for on PATH.'),
    cfg.StrOpt(
        'helper_mode',
        default='exec',
        choices=[
            ('exec', 'One process for each call.'),
            ('session', 'Processes are kept, and their connections with '
                        'them.')],
        help='How the helper is run.'),
]


def list_opts():
    """The options as oslo-config-generator wants them."""
    return [(GROUP, copy.deepcopy(OPTS))]


def refuse_overrides(conf):
    """Raises for what was set in code, of which the helper does not know.

    get_location() takes too long to be asked of every option in each call.
    """
    for name, option in conf[GROUP]._group._opts.items():
        if _SET_IN_CODE.isdisjoint(option) or name in _OURS:
            continue
        where = conf.get_location(name, GROUP).location
        if where in (cfg.Locations.set_override, cfg.Locations.set_default):
            raise cfg.Error('[%s] %s was set by %s(), which the helper cannot '
                            'see: set it in a file or the environment'
                            % (GROUP, name, where.name))


def kept_arguments(conf):
    """config_arguments() of when the configuration was parsed.

    Relative paths are those of the directory in which that was done, also for
    drivers that are made later. oslo.config makes a new namespace whenever it
    parses, so that what is kept there is never out of date.
    """
    namespace = conf._namespace
    if namespace is None:
        return config_arguments(conf)
    if not hasattr(namespace, '_castellan_kmip'):
        namespace._castellan_kmip = config_arguments(conf)
    return namespace._castellan_kmip


def config_arguments(conf):
    """The helper's arguments that make it read what conf was read from.

    Defaults come before the command line, as oslo.config reads them, and
    /dev/null keeps the helper from looking for defaults of its own.
    """
    given = list(_given(conf._args or ()))
    # Only what is spelt out keeps oslo.config from reading its defaults.
    spelt = [flag for flag, _name, _path in given]
    sources = []
    if '--config-file' not in spelt:
        files = getattr(conf, 'default_config_files', None) or ['/dev/null']
        sources += [('--config-file', path) for path in files]
    if '--config-dir' not in spelt:
        dirs = getattr(conf, 'default_config_dirs', None) or ()
        dirs = [path for path in dirs if os.path.exists(_absolute(path))]
        sources += [('--config-dir', path) for path in dirs or ['/dev/null']]
    sources += [(name, path) for _flag, name, path in given]
    return tuple('%s=%s' % (name, _absolute(path)) for name, path in sources)


def _absolute(path):
    """The path that oslo.config itself made of this one to read it."""
    try:
        return os.path.abspath(os.path.expanduser(path))
    except OSError:
        # There is no current directory any more, or no way to it. The helper
        # will say so.
        return path


def _given(args):
    # CONF.config_file and CONF.config_dir do not tell which came first, on
    # which depends who wins.
    rest = iter(args)
    for arg in rest:
        flag, equals, path = arg.partition('=')
        # argparse takes any beginning that only one option has.
        for name in ('--config-file', '--config-dir'):
            if len(flag) > len('--config-') and name.startswith(flag):
                yield flag, name, path if equals else next(rest, '')
