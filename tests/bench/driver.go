package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const python = "/usr/bin/python3" // the one that sees Debian's packages

// driver measures the Castellan driver's get().
func driver(s *stage, n counts, t *table) error {
	if exec.Command(python, "-c", "import castellan, eventlet, kmip").Run() != nil {
		t.note("driver", "python3-castellan, python3-eventlet or python3-pykmip is not installed")
		return nil
	}
	for _, measure := range []func(*stage, counts, *table) error{driverExec, driverSession, driverPauses} {
		if err := measure(s, n, t); err != nil {
			return err
		}
	}
	return nil
}

// driverExec stands beside the raw Go program, as Python runs it.
func driverExec(s *stage, n counts, t *table) error {
	raw := s.rawGet()
	took, err := s.driverGet(n.runs, "exec", append([]string{raw.name}, raw.args...)...)
	if err != nil {
		return err
	}
	t.durations("driver get, exec mode", took[0], took[1], 1.25, milliseconds)
	return nil
}

// driverSession stands beside PyKMIP's client on an open connection. The same lines by hand are the rate that no driver can
// exceed.
func driverSession(s *stage, n counts, t *table) error {
	helper := s.helper()
	took, err := s.driverGet(n.requests, "session", append([]string{s.mock, s.pki(), helper.name}, helper.args...)...)
	if err != nil {
		return err
	}
	const limit = 5
	ours, pykmip, byHand := took[0], took[1], took[2]
	rate := float64(pykmip) / float64(ours)
	t.row("driver get, session mode, its rate beside PyKMIP's client", microseconds(ours), microseconds(pykmip), times(rate), ">= "+times(limit), verdict(rate >= limit))
	t.row("  the same lines by hand, nothing made of the answers", microseconds(byHand), microseconds(pykmip), times(float64(pykmip)/float64(byHand)))
	return nil
}

// driverGet has Python call get(), in turns with what it stands beside, and returns the medians of how long they took.
func (s *stage) driverGet(calls int, mode string, beside ...string) ([]time.Duration, error) {
	args := []string{"-W", "ignore", "tests/bench/driver_get.py", s.conf(), s.keyID, strconv.Itoa(calls), mode}
	out, err := s.runDriver(append(args, beside...))
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for _, field := range strings.Fields(string(out)) {
		nanoseconds, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return nil, err
		}
		took = append(took, time.Duration(nanoseconds))
	}
	return took, nil
}

// driverPauses measures how long another green thread waits while twenty call the driver.
func driverPauses(s *stage, _ counts, t *table) error {
	const limit = 20 * time.Millisecond
	for _, mode := range []string{"exec", "session"} {
		out, err := s.runDriver([]string{"-W", "ignore", "python-shim/tests/programs/green.py", s.conf(), "20"}, "OS_KMIP__HELPER_MODE="+mode)
		if err != nil {
			return err
		}
		var pauses []float64 // the longest of each of five rounds, in milliseconds
		if err := json.Unmarshal(out, &pauses); err != nil {
			return err
		}
		pause := time.Duration(slices.Max(pauses) * float64(time.Millisecond))
		t.row("another green thread's longest pause, 20 calls, "+mode+" mode", milliseconds(pause), "", "", "<= "+milliseconds(limit), verdict(pause <= limit))
	}
	return nil
}

// runDriver runs Python where it finds the driver, and the driver where it finds the helper.
func (s *stage) runDriver(args []string, environ ...string) ([]byte, error) {
	cmd := s.command(program{python, args, s.request})
	shim, err := filepath.Abs("python-shim")
	if err != nil {
		return nil, err
	}
	cmd.Env = append(os.Environ(), "PYTHONPATH="+shim, "PYTHONDONTWRITEBYTECODE=1", "OS_KMIP__HELPER="+s.helper().name,
		"OS_KEY_MANAGER__BACKEND=castellan_kmip.key_manager.KMIPKeyManager")
	cmd.Env = append(cmd.Env, environ...)
	out, err := output(cmd)
	if err != nil {
		return nil, fmt.Errorf("the driver: %w", err)
	}
	return out, nil
}
