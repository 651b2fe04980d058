"""Read one key with the driver, and in turns with what it stands beside.

driver_get.py CONF KEY-ID CALLS exec PROGRAM [ARGUMENT...]
driver_get.py CONF KEY-ID CALLS session ADDRESS PKI HELPER

In exec mode that is the program, which is given standard input. In session
mode it is PyKMIP's client on one open connection, and a helper of its own to
which the line of standard input is written by hand, and nothing made of what
it answers: no driver can be faster than that. PyKMIP's client takes the TLS
settings that it has by default, with which it comes to the same version and
cipher suite as the helper.

Prints the medians in nanoseconds, the driver's first.
"""
import os
import socket
import statistics
import subprocess
import sys
import time

from oslo_config import cfg

from castellan_kmip import key_manager

TURN = 50
WARM = 100


def in_turns(turn, calls, *functions):
    """The medians of several functions' times."""
    took = [[] for _ in functions]
    for _ in range(-WARM, calls, turn):
        for function, times in zip(functions, took):
            for _ in range(turn):
                start = time.perf_counter_ns()
                function()
                times.append(time.perf_counter_ns() - start)
    return [statistics.median(times[WARM:]) for times in took]


def exec_mode(get, calls, request, *command):
    def run():
        subprocess.run(command, input=request, stdout=subprocess.PIPE,
                       check=True)

    return in_turns(1, calls, get, run)


def session_mode(get, calls, request, address, pki, *command):
    from kmip.pie import client as pie

    host, port = address.rsplit(':', 1)
    client = pie.ProxyKmipClient(
        hostname=host, port=int(port), cert=pki + '/client.pem',
        key=pki + '/client-key.pem', ca=pki + '/ca.pem',
        config_file='/dev/null')
    ours, theirs = socket.socketpair()
    with theirs:
        helper = subprocess.Popen(command, stdin=theirs, stdout=theirs)

    def by_hand():
        ours.sendall(request)
        return ours.recv(1 << 16)

    with client, ours:
        key_id = sys.argv[2]
        value = get().get_encoded()
        assert value == client.get(key_id).value
        assert value.hex().encode() in by_hand()
        medians = in_turns(TURN, calls, get, lambda: client.get(key_id),
                           by_hand)
    helper.wait()
    return medians


def main():
    path, key_id, calls, mode, *rest = sys.argv[1:]
    os.environ['OS_KMIP__HELPER_MODE'] = mode
    conf = cfg.ConfigOpts()
    conf(['--config-file', path], project='nova')
    manager = key_manager.KMIPKeyManager(conf)
    measure = {'exec': exec_mode, 'session': session_mode}[mode]
    print(*measure(lambda: manager.get(None, key_id), int(calls),
                   sys.stdin.buffer.read(), *rest))


main()
