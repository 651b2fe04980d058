// Command bench measures what the project promises about its speed, each figure beside a floor: the same bytes by hand,
// the same handshake by a raw program, the same sizes from a server that knows nothing. Run it from the repository's root:
//
//	go run ./tests/bench [-runs N] [-requests N] [-slices N] [-pykmip N]
//
// What stands side by side runs in turns, and the figures are medians. It prints a table of them, with their limits and
// the machine. Timings decide nothing: the exit status reports whether anything was broken.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// counts are how often things are measured.
type counts struct {
	runs     int // of each one-shot program
	requests int // of each session
	slices   int // of each server, half a second long
	pykmip   int // runs of PyKMIP's client
}

func main() {
	var n counts
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&n.runs, "runs", 1000, "runs of each one-shot program")
	flags.IntVar(&n.requests, "requests", 20000, "requests in each session")
	flags.IntVar(&n.slices, "slices", 10, "half seconds of load on each server")
	flags.IntVar(&n.pykmip, "pykmip", 10, "runs of PyKMIP's client")
	_ = flags.Parse(os.Args[1:]) // it exits
	if min(n.runs, n.requests, n.slices, n.pykmip) < 1 || flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, n)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, n counts) error {
	t := newTable(os.Stdout)
	if err := measureAll(ctx, n, t); err != nil {
		return err
	}
	return t.print()
}

// measureAll fills the table.
func measureAll(ctx context.Context, n counts, t *table) error {
	s, err := newStage(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	for _, measure := range []func(*stage, counts, *table) error{codec, oneShot, memory, session, driver, servers, startUp} {
		if err := measure(s, n, t); err != nil {
			return err
		}
	}
	return nil
}
