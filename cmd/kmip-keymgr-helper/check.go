package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"kmip-keymgr/protocol"
)

// Check walks the road to a working key manager as far as it goes: the part on this machine here, and behind that the
// key manager's own. It has an answer whenever the files can be read.
func (h *helper) Check(ctx context.Context, who *protocol.Context, options *protocol.CheckOptions) (*protocol.Check, error) {
	if h.files == nil {
		return h.KeyManager.Check(ctx, who, options)
	}
	c := &protocol.Check{Files: h.files.Paths(), Config: h.files.Effective()}
	if c.OK = h.walk(c); !c.OK {
		return c, nil
	}
	beyond, err := h.KeyManager.Check(ctx, who, options)
	if err != nil {
		return nil, err
	}
	c.OK, c.Steps = beyond.OK, append(c.Steps, beyond.Steps...)
	return c, nil
}

// step is one thing to look at. It says what it found and, with an error, what is wrong.
type step struct {
	name string
	look func() (detail string, err error)
}

// walk takes the steps in order, up to the first that fails.
func (h *helper) walk(c *protocol.Check) bool {
	steps := []step{
		{"configuration", h.checkConfiguration},
		{"key file", h.checkKeyFile},
		{"certificate", h.checkCertificate},
	}
	for _, s := range steps {
		detail, err := s.look()
		if err != nil {
			c.Steps = append(c.Steps, protocol.Step{Step: s.name, Advice: err.Error()})
			return false
		}
		c.Steps = append(c.Steps, protocol.Step{Step: s.name, OK: true, Detail: detail})
	}
	return true
}

func (h *helper) checkConfiguration() (string, error) {
	if h.config == nil {
		return "", h.broken
	}
	return strings.Join(h.files.Paths(), ", "), nil
}

func (h *helper) checkKeyFile() (string, error) {
	return h.config.KeyFile, h.files.CheckKeyFile(h.config)
}

func (h *helper) checkCertificate() (string, error) {
	if h.identity == nil {
		return "", h.broken
	}
	leaf := h.identity.Certificate.Leaf
	return fmt.Sprintf("%s, until %s", leaf.Subject, leaf.NotAfter.UTC().Format("2006-01-02")), h.files.CheckUsage(h.identity)
}

// report is check for a terminal.
func (h *helper) report(ctx context.Context, roundTrip bool, out io.Writer) protocol.Status {
	c, err := h.Check(ctx, nil, &protocol.CheckOptions{RoundTrip: roundTrip})
	if err != nil {
		return protocol.WriteError(out, err)
	}
	for _, s := range c.Steps {
		if s.OK {
			fmt.Fprintf(out, "ok    %s: %s\n", s.Step, s.Detail)
		} else {
			fmt.Fprintf(out, "FAIL  %s: %s\n", s.Step, s.Detail)
		}
		if s.Advice != "" {
			fmt.Fprintf(out, "      %s\n", s.Advice)
		}
	}
	if !c.OK {
		return protocol.Broken
	}
	return protocol.OK
}
