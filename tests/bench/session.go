package main

import (
	"bufio"
	"errors"
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
			for range turn {
				d, err := talks[i].ask(s.request)
				if err != nil {
					return err
				}
				took[i] = append(took[i], d)
			}
		}
	}
	t.compare("session get", median(took[0]), median(took[1]), 1.5, microseconds)
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

// ask tells how long the answer to a line takes.
func (t *talk) ask(line string) (time.Duration, error) {
	start := time.Now()
	if _, err := io.WriteString(t.in, line); err != nil {
		return 0, err
	}
	answer, err := t.out.ReadSlice('\n')
	if err == nil && len(answer) < 200 {
		err = errors.New("no key in " + string(answer))
	}
	return time.Since(start), err
}

func (t *talk) end() {
	_ = t.in.Close()
	_ = t.cmd.Wait()
}
