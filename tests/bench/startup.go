package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// startUp looks at what packages do before main: ours nothing.
func startUp(s *stage, _ counts, t *table) error {
	cmd := s.command(program{name: s.path("kmip-keymgr-helper"), args: []string{"--version"}})
	cmd.Env = append(cmd.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		return err
	}
	all, err := parseInits(trace.String())
	if err != nil {
		return err
	}
	ours, others := split(all)
	t.row("start-up, work of our packages before main", describe(ours), "", "", "none", verdict(len(ours) == 0))
	t.note("  of the others", describe(others))
	for _, i := range others[:min(len(others), 5)] {
		t.note("    "+i.pkg, describe([]initialisation{i}))
	}
	return nil
}

// initialisation is what one package does before main, if it does anything.
type initialisation struct {
	pkg   string
	took  time.Duration
	bytes int
}

// parseInits reads lines like "init internal/bytealg @0.008 ms, 0.03 ms clock, 0 bytes, 0 allocs".
func parseInits(trace string) ([]initialisation, error) {
	var all []initialisation
	for line := range strings.Lines(trace) {
		fields := strings.Fields(line)
		if len(fields) != 11 || fields[0] != "init" {
			return nil, fmt.Errorf("a line that is no inittrace: %q", line)
		}
		ms, err := strconv.ParseFloat(fields[4], 64)
		if err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(fields[7])
		if err != nil {
			return nil, err
		}
		all = append(all, initialisation{fields[1], time.Duration(ms * float64(time.Millisecond)), size})
	}
	return all, nil
}

// split parts our packages from others, the dearest first.
func split(all []initialisation) (ours, others []initialisation) {
	slices.SortFunc(all, func(a, b initialisation) int { return int(b.took - a.took) })
	for _, i := range all {
		if i.pkg == "main" || strings.HasPrefix(i.pkg, "kmip-keymgr/") {
			ours = append(ours, i)
		} else {
			others = append(others, i)
		}
	}
	return ours, others
}

func describe(all []initialisation) string {
	var sum initialisation
	for _, i := range all {
		sum.took += i.took
		sum.bytes += i.bytes
	}
	return fmt.Sprintf("%v, %.1f KiB", sum.took, float64(sum.bytes)/1024)
}
