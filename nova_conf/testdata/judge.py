"""Answers with what oslo.config makes of configuration files, for differential_test.go.

stdin: {"options": {"group": {"option": default or null}}, "report": ["group.option", ...],
"cases": [{"args": [...], "env": {...}}], "conversions": [[kind, text], ...]}; stdout: {"cases": [...], "conversions": [...]}.
"""

import argparse
import json
import logging
import os
import sys

from oslo_config import cfg
from oslo_config import types


class Judge(cfg.ConfigOpts):
    """Notes when an option of Nova's was needed that nothing sets, since only Nova can know what that gives."""

    unset = False

    def _do_get(self, name, group=None, namespace=None):
        ours = group is not None and group.name == 'kmip'
        try:
            value, location = super()._do_get(name, group, namespace)
        except cfg.NoSuchOptError:
            self.unset = self.unset or not ours
            raise
        set_by_user = getattr(location, 'location', None) in (
            cfg.Locations.user, cfg.Locations.environment)
        self.unset = self.unset or not (ours or set_by_user)
        return value, location


def text_of(conf, group, option):
    conf._ConfigOpts__cache.clear()
    conf.unset = False
    try:
        if group == 'DEFAULT':
            value = conf._get(option)
        else:
            value = conf._get(option, group=conf._get_group(group))
        if isinstance(value, conf.GroupAttr):
            return {'error': 'GroupAttr', 'unset': False}
        return {'text': value, 'unset': conf.unset}
    except Exception as error:
        return {'error': type(error).__name__, 'unset': conf.unset}


def register(options):
    conf = Judge()
    for group, opts in options.items():
        conf.register_opts(
            [cfg.StrOpt(name, default=default)
             for name, default in opts.items()],
            group=None if group == 'DEFAULT' else group)
    return conf


def judge(case, report, conf):
    for name in [n for n in os.environ if n.startswith('OS_')]:
        del os.environ[name]
    os.environ.update(case.get('env') or {})
    try:
        conf(case['args'], project='nova', prog='kmip-keymgr-helper')
    except (Exception, SystemExit) as error:
        return {'error': type(error).__name__}
    return {'texts': {key: text_of(conf, *key.split('.')) for key in report}}


def convert(kind, text):
    try:
        value = getattr(types, kind)()(text)
        return {'value': json.dumps(value) if kind == 'List' else repr(value)}
    except ValueError as error:
        return {'error': type(error).__name__}


def main():
    logging.disable(logging.CRITICAL)
    argparse._ = str  # looking for translations is an eighth of the time
    asked = json.load(sys.stdin)
    conf = register(asked['options'])
    print(json.dumps({
        'cases': [judge(case, asked['report'], conf)
                  for case in asked['cases']],
        'conversions': [convert(*c) for c in asked['conversions']],
    }))


if __name__ == '__main__':
    main()
