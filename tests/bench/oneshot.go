package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// oneShot measures processes that live for one request, from their start to their end.
func oneShot(s *stage, n counts, t *table) error {
	if err := s.sameKey(); err != nil {
		return err
	}
	took, err := s.inTurns(n.runs, s.helper(), s.rawGet())
	if err != nil {
		return err
	}
	t.durations("one-shot get", median(took[0]), median(took[1]), 1.10, milliseconds)
	if err := starts(s, n, t); err != nil {
		return err
	}
	return pykmip(s, n, t)
}

// starts measures programs that do nothing: the helper, one with the packages that it cannot do without, and an empty one.
func starts(s *stage, n counts, t *table) error {
	version := program{name: s.path("kmip-keymgr-helper"), args: []string{"--version"}}
	took, err := s.inTurns(n.runs, version, program{name: s.path("linked")}, program{name: s.path("empty")})
	if err != nil {
		return err
	}
	ours, linked, empty := median(took[0]), median(took[1]), median(took[2])
	t.row("  start and end, beside net, crypto/tls, encoding/json", milliseconds(ours), milliseconds(linked), times(float64(ours)/float64(linked)))
	t.note("  an empty Go program", milliseconds(empty))
	return nil
}

// pykmip measures the process that a service would start without this project.
func pykmip(s *stage, n counts, t *table) error {
	const what = "  a Python process with PyKMIP's client"
	if exec.Command(python, "-c", "import kmip").Run() != nil {
		t.note(what, "python3-pykmip is not installed")
		return nil
	}
	client := program{name: python, args: []string{"-W", "ignore", "tests/bench/pykmip_get.py", s.mock, s.pki(), s.keyID}}
	took, err := s.inTurns(n.pykmip, client)
	if err != nil {
		return err
	}
	t.note(what, milliseconds(median(took[0])))
	return nil
}

// inTurns runs each program n times, one after the other, and returns how long each run took. The first turns do not
// count.
func (s *stage) inTurns(n int, programs ...program) ([][]time.Duration, error) {
	const warm = 10
	took := make([][]time.Duration, len(programs))
	for range warm + n {
		for i, p := range programs {
			start := time.Now()
			if _, err := s.run(p); err != nil {
				return nil, err
			}
			took[i] = append(took[i], time.Since(start))
		}
	}
	for i := range took {
		took[i] = took[i][warm:]
	}
	return took, nil
}

// memory measures the peak memory of the same processes.
func memory(s *stage, n counts, t *table) error {
	const limit = 10
	ours, err := s.peak(s.helper(), n.runs)
	if err != nil {
		return err
	}
	floor, err := s.peak(s.rawGet(), n.runs)
	if err != nil {
		return err
	}
	mebibytes := func(m float64) string { return fmt.Sprintf("%.1f MiB", m) }
	t.row("  its peak RSS", mebibytes(ours), mebibytes(floor), times(ours/floor), "<= "+mebibytes(limit), verdict(ours <= limit))
	return nil
}

// peak is the most memory that one of several runs took, in MiB.
func (s *stage) peak(p program, runs int) (most float64, err error) {
	measured := program{s.path("rss"), append([]string{p.name}, p.args...), p.stdin}
	for range min(runs, 200) {
		out, err := s.run(measured)
		if err != nil {
			return 0, err
		}
		kibibytes, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			return 0, err
		}
		most = max(most, float64(kibibytes)/1024)
	}
	return most, nil
}

// program is something to run for what it says.
type program struct {
	name  string
	args  []string
	stdin string
}

func (s *stage) command(p program) *exec.Cmd {
	cmd := exec.CommandContext(s.ctx, p.name, p.args...)
	cmd.Stdin = strings.NewReader(p.stdin)
	return cmd
}

// run returns what the program wrote.
func (s *stage) run(p program) ([]byte, error) { return output(s.command(p)) }

func output(cmd *exec.Cmd) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%v: %w\n%s%s", cmd.Args, err, &out, &errs)
	}
	return out.Bytes(), nil
}
