// Command kmip-keymgr-helper does what OpenStack asks of a key manager, through KMIP. It reads JSON requests from its
// standard input and answers each with a line of JSON on its standard output; package protocol specifies both.
//
// The exit status is 0 if every request succeeded, 1 if some response was an error, 2 if usage, configuration or input is
// broken. That of check is 0 if no step failed and 2 otherwise.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	novaconf "kmip-keymgr/nova_conf"
	"kmip-keymgr/protocol"
)

const usage = `usage: kmip-keymgr-helper [--config-file FILE]... [--config-dir DIR]... [--timeout DURATION] [check [--round-trip]]
       kmip-keymgr-helper --version | --help

Reads JSON requests from standard input and answers each with a line of JSON.
With "check" it reads nothing and reports what it finds on the way to the key manager.

`

func main() {
	growStack(0)
	noCoreDumps()
	debug.SetMemoryLimit(memoryLimit)
	signal.Ignore(syscall.SIGPIPE) // so that a closed standard output is an error to see
	signal.Ignore(syscall.SIGURG)  // the runtime's preemption, which would save registers with key bytes on a signal stack
	status := run(context.Background(), os.Args[1:], os.Environ(), &stdin{Reader: os.Stdin}, os.Stdout, os.Stderr)
	os.Exit(int(status))
}

// stdin limits the process to one processor from its second read on: a session serves one request at a time, and on several
// the runtime wakes threads for nothing. A one-shot starts faster on all. (The second read may be the rest of a long request.)
type stdin struct {
	io.Reader
	reads int
}

func (s *stdin) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if s.reads++; s.reads == 2 && n > 0 {
		runtime.GOMAXPROCS(1)
	}
	return n, err
}

// memoryLimit is the memory in use, in bytes, above which garbage is collected at once and not when it has doubled: with the
// longest replies that a server can make us read, the process then stays within 32 MiB.
const memoryLimit = 16 << 20

// growStack makes the stack as large as a TLS handshake needs it, while there is next to nothing on it to move. Growing step
// by step in the depth of the handshake takes one part in a hundred of a one-shot's time.
//
//go:noinline
func growStack(i int) byte {
	var room [32 << 10]byte
	return room[i]
}

// noCoreDumps keeps key bytes out of core files, and other processes of the same user out of this one's memory.
func noCoreDumps() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
}

// flags are the command line.
type flags struct {
	sources       []novaconf.Source
	timeout       time.Duration // 0 for the configured one
	check         bool
	roundTrip     bool
	version, help bool
	set           *pflag.FlagSet
}

// run is the program with everything it touches as a parameter.
func run(ctx context.Context, args, environ []string, in io.Reader, out, errs io.Writer) protocol.Status {
	f, err := parse(args)
	switch {
	case err != nil:
		fmt.Fprintf(errs, "kmip-keymgr-helper: %v\n", err)
		return protocol.WriteError(out, &protocol.Error{Kind: protocol.InvalidRequest, Message: "usage: " + err.Error()})
	case f.help:
		return say(out, usage+f.set.FlagUsages())
	case f.version:
		return say(out, "kmip-keymgr-helper "+version()+"\n")
	}
	h := newHelper(f, environ, errs)
	defer h.close()
	if f.check {
		return h.report(ctx, f.roundTrip, out)
	}
	status := protocol.Serve(ctx, in, stdout{out, errs}, h)
	if status == protocol.Failed && h.broken != nil { // although no request came so far as to meet it
		return protocol.Broken
	}
	return status
}

// stdout is standard output. When a write fails the request may have been carried out, which only standard error can say.
type stdout struct{ out, errs io.Writer }

func (s stdout) Write(line []byte) (int, error) {
	n, err := s.out.Write(line)
	if err != nil {
		fmt.Fprintf(s.errs, "kmip-keymgr-helper: a request may have been carried out, and its answer could not be written: %v\n", err)
	}
	return n, err
}

// say prints a text for people.
func say(out io.Writer, text string) protocol.Status {
	if _, err := io.WriteString(out, text); err != nil {
		return protocol.Broken
	}
	return protocol.OK
}

func parse(args []string) (*flags, error) {
	f := &flags{set: pflag.NewFlagSet("kmip-keymgr-helper", pflag.ContinueOnError)}
	f.set.Usage = func() {}
	f.set.Var(&sourceFlag{&f.sources, false}, "config-file", "file to read; later ones win")
	f.set.Var(&sourceFlag{&f.sources, true}, "config-dir", "directory whose *.conf to read, sorted")
	f.set.DurationVar(&f.timeout, "timeout", 0, "`DURATION`, such as 10s, for one request with all its retries, in place of [kmip] timeout")
	f.set.BoolVar(&f.roundTrip, "round-trip", false, "with check: also create, read and destroy a key")
	f.set.BoolVar(&f.version, "version", false, "print the version")
	f.set.BoolVarP(&f.help, "help", "h", false, "print this")
	if err := f.set.Parse(args); err != nil {
		return nil, err
	}
	return f, f.checkArgs(f.set.Args())
}

// checkArgs takes what is left beside the flags, and tells what does not fit together.
func (f *flags) checkArgs(rest []string) error {
	if f.check = len(rest) > 0 && rest[0] == "check"; f.check {
		rest = rest[1:]
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %.40q", rest[0])
	case f.roundTrip && !f.check:
		return errors.New("--round-trip is for check")
	case f.timeout < 0:
		return fmt.Errorf("--timeout %v is negative", f.timeout)
	}
	return nil
}

// sourceFlag collects files and directories in the order of the command line, which decides who wins.
type sourceFlag struct {
	sources *[]novaconf.Source
	dir     bool
}

func (s *sourceFlag) Set(path string) error {
	*s.sources = append(*s.sources, novaconf.Source{Path: path, Dir: s.dir})
	return nil
}

func (s *sourceFlag) String() string { return "" }

func (s *sourceFlag) Type() string {
	if s.dir {
		return "DIR"
	}
	return "FILE"
}

// version is the module's, as the build recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
