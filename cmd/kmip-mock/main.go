// Command kmip-mock is the Mock KMIP Key Manager, for functional tests only. See package mock for what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"kmip-keymgr/keystone"
	"kmip-keymgr/mock"
	novaconf "kmip-keymgr/nova_conf"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command line.
type options struct {
	listen, pki, inventory, versions string
	keystone                         string
	users, faults                    []string
	version, help                    bool
}

func (o *options) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("kmip-mock", pflag.ContinueOnError)
	f.SortFlags = false
	f.SetOutput(io.Discard)
	f.StringVar(&o.listen, "listen", "127.0.0.1:5696", "`ADDRESS:PORT` to listen on; port 0 picks a free one")
	f.StringVar(&o.pki, "pki", "", "`DIR` of certificates, keys and nova.conf; what is missing is made")
	f.StringVar(&o.keystone, "keystone", "", "`FILE` with [keystone_authtoken], the server's identity at Keystone; every request must then carry\nan OpenStack credential that Keystone accepts")
	f.StringArrayVar(&o.users, "user", nil, "`NAME:PASSWORD`, one of which a client must then send; repeatable")
	f.StringVar(&o.versions, "kmip-versions", "1.0-2.1", "the KMIP `VERSIONS` to speak, a range or one")
	f.StringArrayVar(&o.faults, "fault", nil, "`OPERATION:ACTION[:COUNT]`: refuse, drop-request, drop-response, truncate=N, delay=DURATION,\ngarbage or reason=ResultReasonName for the next COUNT requests (default 1) of OPERATION, of any (*),\nor for the next COUNT handshakes of TLS (Handshake); of several for one OPERATION, delays apart,\nthe first acts until it is used up; repeatable")
	f.StringVar(&o.inventory, "inventory", "", "`FILE` to keep as a JSON list of the objects")
	f.BoolVar(&o.version, "version", false, "print the version and exit")
	f.BoolVarP(&o.help, "help", "h", false, "print this help and exit")
	return f
}

// run is the program: 0 when it was told to stop, 1 when it could not go on, 2 when it was called wrongly.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	flags := o.flags()
	err := o.parse(flags, args)
	switch {
	case err != nil:
		return misused(stderr, err)
	case o.help:
		fmt.Fprintf(stdout, "kmip-mock is a KMIP key manager for functional tests. It forgets everything when it stops.\n\n"+
			"usage: kmip-mock --pki DIR [FLAG]...\n\n%s", flags.FlagUsages())
		return 0
	case o.version:
		fmt.Fprintln(stdout, "kmip-mock", version())
		return 0
	}
	config, err := o.config()
	if err != nil {
		return misused(stderr, err)
	}
	if config.Keystone != nil {
		defer config.Keystone.Close()
	}
	if err := serve(ctx, o, config, stdout); err != nil {
		fmt.Fprintf(stderr, "kmip-mock: %v\n", err)
		return 1
	}
	return 0
}

// parse reads the command line. --help and --version need nothing else.
func (o *options) parse(flags *pflag.FlagSet, args []string) error {
	err := flags.Parse(args)
	switch {
	case err != nil, o.help, o.version:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.pki == "":
		return errors.New("--pki DIR is required")
	}
	return nil
}

func misused(stderr io.Writer, err error) (status int) {
	fmt.Fprintf(stderr, "kmip-mock: %v (--help tells more)\n", err)
	return 2
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// config is what the flags say about the server.
func (o *options) config() (config mock.Config, err error) {
	config.Inventory = o.inventory
	if config.Versions, err = mock.ParseVersions(o.versions); err != nil {
		return config, err
	}
	if config.Users, err = parseAll(o.users, mock.ParseUser); err != nil {
		return config, err
	}
	if config.Faults, err = parseAll(o.faults, mock.ParseFault); err != nil || o.keystone == "" {
		return config, err
	}
	config.Keystone, err = openKeystone(o.keystone)
	return config, err
}

// openKeystone makes a client of the identity in a file's [keystone_authtoken]. Nothing is sent yet. Errors name the option
// and, where it is set, its line.
func openKeystone(file string) (*keystone.Client, error) {
	none := novaconf.Source{Path: os.DevNull, Dir: true} // or else the default directories would be read
	files, err := novaconf.Load([]novaconf.Source{none, {Path: file}}, nil)
	if err != nil {
		return nil, err
	}
	const section = "keystone_authtoken"
	client, err := keystone.Open(func(option string) (string, bool, error) { return files.Text(section, option) }, os.ReadFile)
	var wrong *keystone.ConfigError
	if errors.As(err, &wrong) {
		return nil, files.Fault(section, wrong.Option, wrong.Reason)
	}
	return client, err
}

func parseAll[T any](texts []string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for _, text := range texts {
		v, err := parse(text)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// network is that of an address to listen on: an IPv4 address means that and not IPv6 too, as "tcp" would.
func network(address string) string {
	if host, _, _ := net.SplitHostPort(address); net.ParseIP(host).To4() != nil && !strings.Contains(host, ":") {
		return "tcp4"
	}
	return "tcp"
}

// serve runs the server until the context ends.
func serve(ctx context.Context, o options, config mock.Config, stdout io.Writer) (err error) {
	if config.PKI, err = mock.OpenPKI(o.pki); err != nil {
		return err
	}
	server, err := mock.New(config)
	if err != nil {
		return err
	}
	listener, err := net.Listen(network(o.listen), o.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	address := listener.Addr().String()
	if err := config.PKI.WriteConf(address, &config); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "listening %s\n", address); err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	return errors.Join(err, server.Close())
}
