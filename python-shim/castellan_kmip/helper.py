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

"""Runs kmip-keymgr-helper, for one call or for many.

A helper has one socket for its standard input and output. A socket, unlike a
pair of pipes, has time limits of its own that green threads honour too, and
tells a helper that died before it had read all of a request from one that
may have carried it out.

What eventlet patches is called through its module, so that it does not matter
which of the two was loaded first.
"""

import atexit
import contextlib
import errno
import fcntl
import itertools
import json
import os
import socket
import subprocess
import time

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

# Seconds beyond the deadline before a helper that does not keep it is killed.
_MARGIN = 2.0
# Seconds in which a helper ends that has nothing left to do, and a killed one.
_GRACE = 1.0
# Bytes of an answer: several times what 10,000 objects take.
_MAX_ANSWER = 256 << 20
# Bytes to receive at once. For 128 KiB and more malloc may ask the kernel each
# time, which takes longer than all else that is done here.
_CHUNK = 64 << 10
# Seconds. The protocol has no longer deadline.
_MAX_TIMEOUT = 86400.0
# Helpers kept for one configuration. Servers get slower with connections.
_MAX_KEPT = 4
# How many fresh helpers may go away under one request before it is their
# fault and not bad luck.
_MAX_STARTS = 5
# Helpers that keep all processors busy.
_CROWD = len(os.sched_getaffinity(0)) + 1
# Why a program cannot be run whose path is wrong.
_NOT_THERE = frozenset([errno.ENOENT, errno.EACCES, errno.ENOTDIR,
                        errno.ENOEXEC])
# What may be asked again when nobody knows what became of it.
_READS = frozenset(['get_key', 'list_keys', 'check'])


def _as_text(value):
    """The text of what JSON has no form for: contexts hold dates at times."""
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except Exception:
        # Its text might show what is secret.
        raise TypeError('%s is no text' % type(value).__name__) from None


# json.dumps would make an encoder for each call, and json.loads guess at the
# encoding and look for white space twice.
_encode = json.JSONEncoder(default=_as_text, ensure_ascii=False).encode
_decode = json.JSONDecoder().raw_decode


def _json(what):
    try:
        return _encode(what)
    except (TypeError, ValueError, RecursionError):
        raise
    except Exception as e:
        # From something in it that is not what it looks like. Its text might
        # show what is secret.
        raise TypeError(type(e).__name__) from None


def _utf8(text):
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Nothing is raised here, for the context of that would hold the text.
        pass
    raise ValueError('half a surrogate pair is no text')


_ids = itertools.count(1)
# These belong to the process of this number, and not to one that it forks.
_process = os.getpid()
_running: set = set()
# Helpers that are being started.
_loading: list = []
# Whether the process ends, and is to start no more.
_ending = False
_pools: dict = {}


class HelperError(Exception):
    """The helper did not give an answer that can be used."""


class _Disconnected(HelperError):
    """The helper closed its end. unread: it had not read all of a request."""

    def __init__(self, unread):
        super().__init__()
        self.unread = unread


class _Request(object):
    """A request, and the time by which the helper has to answer it."""

    def __init__(self, op, context, args, until):
        self.op = op
        self.id = str(next(_ids))
        self.deadline = min(until, time.monotonic() + _MAX_TIMEOUT)
        self._context = context
        self._args = args

    def left(self):
        return max(self.deadline - time.monotonic(), 0.001)

    def patience(self):
        """Seconds until a helper that has not answered is given up.

        :raises socket.timeout: if that is now
        """
        left = self.deadline + _MARGIN - time.monotonic()
        if left <= 0:
            raise socket.timeout
        return left

    def encode(self, seconds):
        """The request as a line, to be answered within so many seconds."""
        line = _utf8(_json({
            'version': 1, 'id': self.id, 'op': self.op,
            'context': self._context, 'args': self._args,
            'deadline_ms': int(seconds * 1000)}))
        # Padded so that the brace and the line break come in one read, for
        # buffers are of even sizes: a helper that left anything unread has
        # not had a whole request.
        return line[:-1] + (b'}\n' if len(line) % 2 else b' }\n')

    def decode(self, line):
        """The answer in line, if it is one to this request."""
        try:
            text = line.decode()
            answer, end = _decode(text)
            is_error = isinstance(answer.get('error'), dict)
            usable = (
                text[end:].isspace()
                and len({'error', 'result'} & answer.keys()) == 1
                and (is_error or isinstance(answer.get('result'), dict)))
            # A helper that could not read the request cannot know its id.
            ours = answer.get('id') == self.id or (
                is_error and answer.get('id') is None)
        except (ValueError, AttributeError, RecursionError):
            usable = ours = False
        if not usable:
            raise HelperError('the helper answered %s with something other '
                              'than the protocol\'s JSON' % self.op)
        if not ours:
            raise HelperError('the helper answered a request other than %s'
                              % self.op)
        return answer


class _Turns(object):
    """A semaphore, first come first served, without a lock.

    A lock is green or native, depending on when it was made and on what
    eventlet had patched by then. One of the wrong kind, or one that both kinds
    of threads wait for, can block them for ever.
    """

    def __init__(self, turns):
        self._turns = turns
        # The first have a turn, the others wait. What is done to a list is
        # done in one step, whatever the threads.
        self._line = []

    def take(self, request, function, *args):
        """Calls the function in the request's turn, if that comes in time."""
        try:
            self._line.append(request)
            self._wait(request)
            return function(*args)
        finally:
            # A signal's handler may have raised before the request was in the
            # line. Here it cannot come in between.
            if request in self._line:
                self._line.remove(request)

    def _wait(self, request):
        while True:
            ahead = self._line.index(request) + 1 - self._turns
            if ahead <= 0:
                return
            if time.monotonic() >= request.deadline:
                raise HelperError('the driver was busy until the deadline; %s '
                                  'was not carried out' % request.op)
            # The more are ahead, the longer it takes.
            time.sleep(min(0.001 * ahead / self._turns, 0.05, request.left()))


# One start at a time: each blocks the whole process until the helper has been
# loaded, and before each of them other green threads get their turn. See also
# _give_way.
_starting = _Turns(1)


def _socket_pair():
    """The driver's end of a new socket, and the helper's.

    In a service that runs with standard streams closed the driver's end might
    get the number of one, and the helper what the service prints.
    """
    ours, theirs = socket.socketpair()
    with ours:
        fd = fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 3)
    return socket.socket(socket.AF_UNIX, fileno=fd), theirs


def _give_way():
    """Lets others run before a helper is started.

    Where many run already a start takes long, for it has to wait for a
    processor, and nothing is gained. So it is put off until some have ended,
    but no more than 10 ms, for they may be waiting for a slow server.
    """
    time.sleep(0)
    until = time.monotonic() + 0.01
    while len(_running) >= _CROWD and time.monotonic() < until:
        time.sleep(0.001)


class _Helper(object):
    """A running helper."""

    def __init__(self, command, request):
        self.used = self.closed = False
        self.owner = os.getpid()
        try:
            _starting.take(request, self._start, command)
        except OSError as e:
            advice = ('; helper in [kmip] says where it is, else the PATH of '
                      'the service' if e.errno in _NOT_THERE else '')
            raise HelperError('the helper %s cannot be run: %s%s' % (
                command[0], e.strerror or e, advice))

    def _start(self, command):
        _give_way()
        _loading.append(self)
        try:
            if _ending:
                raise HelperError('the process ends; nothing was carried out')
            self._load(command)
            _running.add(self)
        finally:
            if self in _loading:  # not where a handler has forked in between
                _loading.remove(self)

    def _load(self, command):
        self._socket, theirs = _socket_pair()
        with theirs:
            # Green sockets do not block, and neither would the helper's.
            os.set_blocking(theirs.fileno(), True)
            try:
                self._process = subprocess.Popen(
                    command, stdin=theirs.fileno(), stdout=theirs.fileno())
            except BaseException:
                self._socket.close()
                raise

    def ask(self, request, last=False):
        """Sends the request, the last one or not, and returns the answer."""
        try:
            sent = self._send(request, last)
            line = self._receive(request, sent)
        except socket.timeout:
            raise HelperError(
                'the helper did not answer %s in time and was killed; it may '
                'have taken effect anyway' % request.op)
        except (OSError, EOFError) as e:
            # Another thread has closed the socket, since the process ends or
            # was forked.
            raise HelperError(
                'the helper\'s answer to %s cannot be received: %s; it may '
                'have taken effect anyway' % (request.op, type(e).__name__))
        self.used = True
        return request.decode(line)

    def _send(self, request, last):
        # If the helper closed its end there may still be an answer, on why.
        try:
            self._socket.settimeout(request.patience())
            self._socket.sendall(
                request.encode(request.left()), socket.MSG_NOSIGNAL)
            if last:
                self._socket.shutdown(socket.SHUT_WR)
            return True
        except socket.timeout:
            raise
        except OSError:
            return False

    def _receive(self, request, sent):
        answer = bytearray()
        chunk = b''
        while b'\n' not in chunk:
            self._socket.settimeout(request.patience())
            try:
                chunk = self._socket.recv(_CHUNK)
            except ConnectionResetError:
                # It ended, and left some of the request unread.
                raise _Disconnected(unread=True)
            if not chunk:
                raise _Disconnected(unread=not sent)
            answer += chunk
            if len(answer) > _MAX_ANSWER:
                raise HelperError('the helper\'s answer to %s is too long'
                                  % request.op)
        return answer

    def is_alive(self):
        return self._process.poll() is None

    def hang_up(self):
        """Has the helper end, and whoever waits for its answer go on."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self, grace=0.0):
        """Ends the helper, by force after so many seconds, and reaps it."""
        try:
            self.closed = True
            self._socket.close()
            if not self._ends_within(grace):
                self._process.kill()
                self._ends_within(_GRACE)
        except BaseException:
            # A green thread that may not wait any longer: nor for this, which
            # takes a moment, without giving way.
            self._process.kill()
            until = time.monotonic() + _GRACE
            while self.is_alive() and time.monotonic() < until:
                pass
            raise
        finally:
            _running.discard(self)

    def _ends_within(self, seconds):
        # Popen.wait would look again after 0.5 ms, its green sister after 10.
        until = time.monotonic() + seconds
        pause = 0.00005
        while self.is_alive():
            if time.monotonic() >= until:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return True

    def exit_text(self):
        """How a closed helper ended."""
        status = self._process.returncode
        if status is None or status >= 0:
            return 'ended with status %s' % status
        return 'was killed by signal %d' % -status

    def detach(self):
        """Lets go of a helper that is the parent process's.

        The green layer is passed by, for its hub is still the parent's too.
        """
        fd = self._socket.detach()
        if fd >= 0:
            os.close(fd)
        self._process.returncode = 0


class _Pool(object):
    """The kept helpers of one command line."""

    def __init__(self, command):
        self._command = command
        self._idle = []
        self._turns = _Turns(_MAX_KEPT)

    def ask(self, request):
        return self._turns.take(request, self._ask, request)

    def _ask(self, request):
        starts = _MAX_STARTS
        while True:
            helper = self._take(request)
            starts -= not helper.used
            try:
                answer = _ask(helper, request)
            except _Disconnected as gone:
                safe = gone.unread or request.op in _READS
                if not safe or not starts:
                    raise
                LOG.info('A kept helper is gone; asking another')
                continue
            if not helper.closed:
                self._idle.append(helper)
            # What is wrong with the configuration may be right by now, as with
            # a certificate that was renewed, and kept helpers do not read it
            # again.
            if answer.get('error', {}).get('kind') == 'config':
                self._close_idle()
            return answer

    def _close_idle(self):
        idle = []
        with contextlib.suppress(IndexError):
            while True:
                idle.append(self._idle.pop())
        _close(idle)

    def _take(self, request):
        try:
            # Whether it still lives shows when it is asked.
            return self._idle.pop()
        except IndexError:
            return _Helper(self._command, request)


def _ask(helper, request, last=False):
    """Asks, and leaves no helper behind that cannot be asked again."""
    try:
        answer = helper.ask(request, last)
    except _Disconnected as gone:
        helper.close(_GRACE)
        effect = ('it was not carried out' if gone.unread
                  else 'it may have taken effect anyway')
        gone.args = ('the helper %s before it had answered %s; %s'
                     % (helper.exit_text(), request.op, effect),)
        raise
    except BaseException:
        helper.close()
        raise
    if last or answer.get('id') is None:  # and then it reads no further
        helper.close(_GRACE)
    return answer


def ask(command, session, op, context, args, until):
    """Has the helper that command runs answer.

    :param command: tuple of the helper and its arguments
    :param session: whether to use a kept helper
    :param until: the deadline, on the monotonic clock
    :returns: the answer, a dict with an error or a result
    :raises HelperError: if there is none
    """
    _reset_after_fork()
    request = _Request(op, context, args, until)
    if not session:
        return _ask(_Helper(command, request), request, last=True)
    pool = _pools.get(command) or _pools.setdefault(command, _Pool(command))
    return pool.ask(request)


def _close(helpers):
    """Ends all at once, so that many take no longer than one."""
    for helper in helpers:
        helper.hang_up()
    until = time.monotonic() + _GRACE
    for helper in helpers:
        helper.close(max(until - time.monotonic(), 0))


def _close_all():
    _reset_after_fork()
    _pools.clear()
    _close(list(_running))


def _end():
    """Has the process end without helpers."""
    global _ending
    _ending = True
    _close_all()


def _hold_fork():
    """Puts a fork off, but no longer than _GRACE, while a helper is started.

    That is another native thread's, for nobody gives way in between. The child
    would hold the helper's end of the socket open, and so hide that the helper
    ended, and the pipe by which Popen learns that it was loaded.
    """
    until = time.monotonic() + _GRACE
    while _loading and time.monotonic() < until:
        time.sleep(0.0005)


def _reset_after_fork():
    """Forgets, in a forked process, all that is its parent's."""
    global _process, _starting, _ending
    process = os.getpid()
    if process == _process:
        return
    _pools.clear()
    _loading.clear()
    _ending = False
    _starting = _Turns(1)
    for helper in list(_running):
        # Another thread may have been here before, and run one already.
        if helper.owner != process:
            _running.discard(helper)
            helper.detach()
    _process = process


atexit.register(_end)
# Each call looks whether its process was forked, for Python is not told of all
# forks: uwsgi's, for one. But a process that makes no call is not to hold the
# sockets of its parent's helpers, which would outlive the parent.
os.register_at_fork(before=_hold_fork, after_in_child=_reset_after_fork)
