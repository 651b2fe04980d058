package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// turn is how many requests a session answers before it is the other's turn.
const turn = 50

// session measures processes that stay, a request at a time.
func session(s *stage, n counts, t *table) error {
	relay := program{s.path("relay"), append(s.prepared(), s.path("line")), ""}
	var took [2][]time.Duration
	var talks [2]*talk
	for i, p := range []program{s.helper(), relay} {
		var err error
		if talks[i], err = s.talk(p); err != nil {
			return err
		}
		defer talks[i].end()
	}
	for range 1 + n.requests/turn {
		for i := range talks {
			some, err := talks[i].turn(s.request)
			if err != nil {
				return err
			}
			took[i] = append(took[i], some...)
		}
	}
	t.durations("session get", median(took[0]), median(took[1]), 1.50, microseconds)
	return nil
}

// talk is a process that answers lines.
type talk struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (s *stage) talk(p program) (*talk, error) {
	cmd := exec.CommandContext(s.ctx, p.name, p.args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &talk{cmd, in, bufio.NewReader(out)}, cmd.Start()
}

// turn asks the same several times, and tells how long each answer took.
func (t *talk) turn(line string) ([]time.Duration, error) {
	var took []time.Duration
	for range turn {
		d, err := t.ask(line)
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	return took, nil
}

// ask tells how long the answer to a line takes.
func (t *talk) ask(line string) (time.Duration, error) {
	start := time.Now()
	if _, err := io.WriteString(t.in, line); err != nil {
		return 0, err
	}
	answer, err := t.out.ReadSlice('\n')
	took := time.Since(start)
	if err == nil && !bytes.Contains(answer, []byte(`"value":"`)) {
		err = fmt.Errorf("no key in %s", answer)
	}
	return took, err
}

func (t *talk) end() {
	_ = t.in.Close()
	_ = t.cmd.Wait()
}
