package main

import (
	"fmt"
	"io"
	"net"
	"strconv"

	"kmip-keymgr/kmip"
	"kmip-keymgr/kmip/keymgr"
	novaconf "kmip-keymgr/nova_conf"
	"kmip-keymgr/protocol"
)

// helper is the key manager with its configuration around it: what Serve drives.
type helper struct {
	protocol.KeyManager // over KMIP, or one that refuses everything where the configuration does not allow for that

	files    *novaconf.Files // nil where they cannot be read
	config   *novaconf.KMIP
	identity *novaconf.Identity
	callers  *identities // nil in standalone mode
	broken   error       // what is wrong with the configuration
	client   *kmip.Client

	errs io.Writer
	told map[string]bool // what errs has been told of servers
}

// newHelper reads the configuration. Nothing is connected yet. What the operator should know beside the answers goes to errs.
func newHelper(f *flags, environ []string, errs io.Writer) *helper {
	h := &helper{errs: errs, told: make(map[string]bool)}
	if h.broken = h.configure(f, environ); h.broken != nil {
		h.KeyManager = keymgr.Refusing(&protocol.Error{Kind: protocol.Config, Message: h.broken.Error()})
		return h
	}
	config := clientConfig(h.config, h.identity)
	config.PassedOver = h.passedOver
	h.client = kmip.NewClient(config)
	behaviour := keymgr.Config{
		Activate:         h.config.Activate,
		ProjectIsolation: h.config.ProjectIsolation && !h.config.Integrated, // else the server keeps projects apart
		ObjectGroup:      h.config.ObjectGroup,
		Timeout:          h.config.Timeout,
		LeftBehind:       h.leftBehind,
	}
	if h.config.Integrated {
		behaviour.Identities = h.callers
	}
	h.KeyManager = keymgr.New(h.client, behaviour)
	return h
}

func (h *helper) configure(f *flags, environ []string) (err error) {
	if h.files, err = novaconf.Load(f.sources, environ); err != nil {
		return err
	}
	if h.config, err = h.files.KMIP(); err != nil {
		return err
	}
	if f.timeout > 0 {
		h.config.Timeout = f.timeout
	}
	if h.config.Integrated {
		if h.callers, err = newIdentities(h.files, h.config.TokenlessService); err != nil {
			return err
		}
	}
	h.identity, err = h.files.Identity(h.config)
	return err
}

// passedOver tells of a server that somebody has to mend, once, though another has served in its place.
func (h *helper) passedOver(server string, err *kmip.HandshakeError) {
	if what := server + " " + err.Advice; !h.told[what] { // the error itself may tell the time
		h.told[what] = true
		fmt.Fprintf(h.errs, "kmip-keymgr-helper: %s was passed over: %s\n", server, plain(err.Error()))
	}
}

// leftBehind tells of an object that is in nobody's way, but that somebody may want to destroy.
func (h *helper) leftBehind(server, name string) {
	fmt.Fprintf(h.errs, "kmip-keymgr-helper: %s did not answer and may hold an object with the Name %s, which nobody uses\n", server, name)
}

// Server is the one that answered last, where there are several.
func (h *helper) Server() string {
	if h.client == nil || len(h.config.Hosts) < 2 {
		return ""
	}
	return h.client.Server()
}

func (h *helper) close() {
	if h.client != nil {
		h.client.Close()
	}
	if h.callers != nil {
		h.callers.close()
	}
}

func clientConfig(c *novaconf.KMIP, i *novaconf.Identity) kmip.Config {
	var version kmip.Version // 0 for auto
	if c.KMIPVersion != "auto" {
		version, _ = kmip.ParseVersion(c.KMIPVersion) // it was checked
	}
	config := kmip.Config{
		TLS: kmip.TLS{
			Certificate:  i.Certificate,
			Roots:        i.Roots,
			ServerName:   c.ServerName,
			MinVersion:   c.TLSMinVersion,
			CipherSuites: c.TLSCiphers,
		},
		Version:        version,
		ConnectTimeout: c.ConnectTimeout,
		MaxRetries:     c.MaxRetries,
		RetryInterval:  c.RetryInterval,
	}
	for _, host := range c.Hosts {
		config.Hosts = append(config.Hosts, net.JoinHostPort(host.Name, strconv.Itoa(host.Port)))
	}
	if c.Username != "" {
		config.Credentials = []kmip.Credential{kmip.PasswordCredential(c.Username, c.Password)}
	}
	return config
}
