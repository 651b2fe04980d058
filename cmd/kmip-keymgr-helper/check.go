package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode"

	"kmip-keymgr/protocol"
)

// Check takes the steps to a working key manager as far as they lead: the part on this machine here, and behind that the
// key manager's own. It has an answer whenever the files can be parsed.
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

// step is one thing to look at. It says what it found, what is not as it should be there and, with an error, what is wrong.
type step struct {
	name string
	look func() (detail, advice string, err error)
}

// walk takes the steps in order, up to the first that fails.
func (h *helper) walk(c *protocol.Check) bool {
	steps := []step{
		{"configuration", h.checkConfiguration},
		{"key file", h.checkKeyFile},
		{"certificate", h.checkCertificate},
	}
	for _, s := range steps {
		detail, advice, err := s.look()
		if err != nil {
			c.Steps = append(c.Steps, protocol.Step{Step: s.name, Advice: err.Error()})
			return false
		}
		c.Steps = append(c.Steps, protocol.Step{Step: s.name, OK: true, Detail: detail, Advice: advice})
	}
	return true
}

func (h *helper) checkConfiguration() (detail, advice string, err error) {
	oddities := h.oddities()
	if h.config == nil || h.config.Integrated && h.callers == nil {
		return "", "", errors.New(strings.Join(append([]string{h.broken.Error()}, oddities...), "; "))
	}
	return strings.Join(h.files.Paths(), ", "), strings.Join(oddities, "; "), nil
}

// oddities are what the helper can do with, and the service most likely cannot: a misspelt option, another key manager than
// this, a path that leads to no program.
func (h *helper) oddities() []string {
	list := h.files.Unknown()
	backend, ok, err := h.files.Text("key_manager", "backend")
	if ok && err == nil && backend != "kmip" && !strings.HasPrefix(backend, "castellan_kmip.") {
		list = append(list, h.files.Fault("key_manager", "backend", "the service uses another key manager than kmip").Error())
	}
	path, _, err := h.files.Text("kmip", "helper")
	if err == nil && strings.Contains(path, "/") && !isProgram(path) { // a name is looked for on the service's PATH, not ours
		list = append(list, h.files.Fault("kmip", "helper", "there is no such program").Error())
	}
	return list
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func (h *helper) checkKeyFile() (detail, advice string, err error) {
	return h.config.KeyFile, "", h.files.CheckKeyFile(h.config)
}

func (h *helper) checkCertificate() (detail, advice string, err error) {
	if h.identity == nil {
		return "", "", h.broken
	}
	leaf := h.identity.Certificate.Leaf
	advice, err = h.files.CheckUsage(h.identity)
	return fmt.Sprintf("%s, until %s", leaf.Subject, leaf.NotAfter.UTC().Format("2006-01-02")), advice, err
}

// report is check for a terminal.
func (h *helper) report(ctx context.Context, roundTrip bool, out io.Writer) protocol.Status {
	c, err := h.Check(ctx, nil, &protocol.CheckOptions{RoundTrip: roundTrip})
	var told *protocol.Error
	if errors.As(err, &told) { // the files cannot be parsed, which leaves nothing to walk on
		c = &protocol.Check{Steps: []protocol.Step{{Step: "configuration", Advice: told.Message}}}
	}
	if status := say(out, readable(c)); status != protocol.OK || !c.OK {
		return protocol.Broken
	}
	return protocol.OK
}

// readable is what was found, for people: each step with what to do about it, and under the first, the configuration, the
// options that have a text.
func readable(c *protocol.Check) string {
	var text strings.Builder
	for i, s := range c.Steps {
		text.WriteString(strings.TrimSuffix(fmt.Sprintf("%-5s %s: %s", verdict(s), s.Step, plain(s.Detail)), ": ") + "\n")
		if s.Advice != "" {
			text.WriteString("      " + plain(s.Advice) + "\n")
		}
		if i == 0 {
			writeOptions(&text, c.Config)
		}
	}
	return text.String()
}

// plain keeps what a server has written from moving a terminal's cursor, and from ending the line.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

func writeOptions(text *strings.Builder, config map[string]*string) {
	for _, option := range slices.Sorted(maps.Keys(config)) {
		if value := config[option]; value != nil {
			fmt.Fprintf(text, "      %s = %s\n", option, strings.ReplaceAll(*value, "\n", "\n        "))
		}
	}
}

// verdict is what a reader looks for first.
func verdict(s protocol.Step) string {
	switch {
	case !s.OK:
		return "FAIL"
	case s.Advice != "":
		return "warn"
	}
	return "ok"
}
