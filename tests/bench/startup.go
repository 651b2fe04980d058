package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dearest is how many packages are named.
const dearest = 8

// startUp looks at what packages do before main: ours nothing.
func startUp(s *stage, _ counts, t *table) error {
	all, err := s.initialisations()
	if err != nil {
		return err
	}
	ours, others := split(all)
	t.row("start-up, our packages before main", describe(ours), "", "", "none", verdict(len(ours) == 0))
	t.note("  all others", describe(others))
	for _, i := range others[:min(len(others), dearest)] {
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

// initialisations are those of the helper, each the fastest of several runs.
func (s *stage) initialisations() ([]initialisation, error) {
	fastest := map[string]initialisation{}
	for range 20 {
		trace, err := s.inittrace()
		if err != nil {
			return nil, err
		}
		for _, i := range trace {
			if before, ok := fastest[i.pkg]; !ok || i.took < before.took {
				fastest[i.pkg] = i
			}
		}
	}
	return slices.Collect(maps.Values(fastest)), nil
}

// inittrace runs the helper once and returns what the runtime says about it.
func (s *stage) inittrace() ([]initialisation, error) {
	cmd := s.command(program{name: s.path("kmip-keymgr-helper"), args: []string{"--version"}})
	cmd.Env = append(cmd.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return parseInits(trace.String())
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
	slices.SortFunc(all, func(a, b initialisation) int { return cmp.Or(cmp.Compare(b.took, a.took), cmp.Compare(a.pkg, b.pkg)) })
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
	return fmt.Sprintf("%.3f ms, %.1f KiB", sum.took.Seconds()*1e3, float64(sum.bytes)/1024)
}
