package main

import (
	"cmp"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// codec measures a Create request written, and a Get response read, beside the same bytes by hand: the benchmarks of
// package codec.
func codec(s *stage, _ counts, t *table) error {
	if err := s.buildBenchmarks(); err != nil {
		return err
	}
	all := map[string][]speed{}
	for range 10 { // a moment each, so that they take turns, and long enough that a heap that grows is no part of it
		if err := s.benchmark(all); err != nil {
			return err
		}
	}
	of := func(name string) speed { return medianFunc(all["Benchmark"+name], speed.compare) }
	encode, decode := speed{600, 1}, speed{300, 4}
	t.speeds("TTLV, encode a Create request", of("CreateRequest/encode"), of("CreateRequest/floor"), encode)
	t.speeds("  into a new buffer", of("CreateRequest/encode_anew"), of("CreateRequest/floor_anew"), encode)
	t.speeds("TTLV, decode a Get response", of("GetResponse/decode"), of("GetResponse/floor"), decode)
	t.speeds("  into a new message", of("GetResponse/decode_anew"), of("GetResponse/floor_anew"), decode)
	return nil
}

const benchmarks = "codec.test"

func (s *stage) buildBenchmarks() error {
	out, err := exec.CommandContext(s.ctx, "go", "test", "-c", "-o", s.path(benchmarks), "./tests/bench/codec").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -c ./tests/bench/codec: %w\n%s", err, out)
	}
	return nil
}

// benchmark runs each once and adds what it took.
func (s *stage) benchmark(all map[string][]speed) error {
	args := []string{"-test.run", "^$", "-test.bench", "^Benchmark(CreateRequest|GetResponse)$", "-test.benchtime", "300ms"}
	out, err := s.run(program{name: s.path(benchmarks), args: args})
	if err != nil {
		return err
	}
	lines := regexp.MustCompile(`(?m)^(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op\s.*?(\d+) allocs/op$`).FindAllStringSubmatch(string(out), -1)
	if len(lines) != 8 {
		return fmt.Errorf("other benchmarks than expected: %s", out)
	}
	for _, line := range lines {
		nanoseconds, _ := strconv.ParseFloat(line[2], 64) // the expression lets numbers alone through
		allocations, _ := strconv.Atoi(line[3])
		all[line[1]] = append(all[line[1]], speed{nanoseconds, allocations})
	}
	return nil
}

// speed is that of one operation.
type speed struct {
	nanoseconds float64
	allocations int
}

func (s speed) compare(o speed) int { return cmp.Compare(s.nanoseconds, o.nanoseconds) }

func (s speed) String() string { return fmt.Sprintf("%.0f ns, %d alloc", s.nanoseconds, s.allocations) }

// within reports whether neither figure is over the limit's.
func (s speed) within(limit speed) bool {
	return s.nanoseconds <= limit.nanoseconds && s.allocations <= limit.allocations
}
