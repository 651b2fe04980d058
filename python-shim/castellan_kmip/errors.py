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

"""What becomes of the helper's errors: the one place that decides it.

Nova and Cinder branch on Castellan's exceptions, and Nova on the word
"Forbidden" within a KeyManagerError.
"""

from castellan.common import exception

_KINDS = {
    'not_found': 'Not found',
    'forbidden': 'Forbidden',
    'invalid_request': 'Invalid request',
    'unsupported': 'Not supported',
    'unavailable': 'Key manager not available',
    'config': 'Configuration error',
    'internal': 'Internal error',
}


class ContextRequired(exception.KeyManagerError, exception.Forbidden):
    """Refused because there is no context.

    Castellan's interface raises Forbidden for this, but Cinder and Nova handle
    KeyManagerError alone: so it is both.
    """


def from_answer(error, key_id, context):
    """The exception for an error that the helper answered with."""
    kind = error.get('kind')
    if not isinstance(kind, str):
        kind = None
    if kind == 'not_found' and key_id is not None:
        return exception.ManagedObjectNotFoundError(uuid=key_id)
    reason = _reason(kind, error)
    if kind == 'forbidden' and context is None:
        return ContextRequired(reason=reason)
    return exception.KeyManagerError(reason=reason)


def _reason(kind, error):
    details = [kind, error.get('reason'), error.get('server')]
    text = '%s: %s (%s)' % (
        _KINDS.get(kind, 'Unknown error'), error.get('message'),
        ', '.join(str(detail) for detail in details if detail))
    if error.get('maybe_executed'):
        text += '; it may have taken effect anyway'
    return text
