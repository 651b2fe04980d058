package novaconf

import (
	"fmt"
	"strings"
	"time"

	"kmip-keymgr/internal/secret"
)

// KMIP is the [kmip] section. Texts are empty where nothing is set.
type KMIP struct {
	Hosts                      []Host   // in order of preference, never empty, each with its port
	Port                       int      // of every host that did not name its own
	CertFile, KeyFile, CACerts string   // paths of PEM files, never empty
	ServerName                 string   // name to verify in the server's certificate; empty: the host's
	TLSMinVersion              uint16   // as crypto/tls numbers them
	TLSCiphers                 []uint16 // of TLS 1.2, as crypto/tls numbers them; nil for Go's secure set
	Username                   string
	Password                   secret.Bytes
	Integrated                 bool   // mode: the server understands the OpenStack credential
	TokenlessService           bool   // tokenless: use the identity in [kmip_service_user], and do not refuse
	KMIPVersion                string // "auto", or "1.0" to "2.1"
	ConnectTimeout             time.Duration
	Timeout                    time.Duration
	MaxRetries                 int
	RetryInterval              time.Duration
	Activate                   bool
	ProjectIsolation           bool
	ObjectGroup                string
	Helper, HelperMode         string // for the Python shim
}

// Host is one server: a name, an IPv4 address, or an IPv6 address without its brackets.
type Host struct {
	Name string
	Port int
}

// KMIP converts and validates the whole section. Its errors, of type *Error, are about the first option, in the order
// of the README's table, that cannot be honoured.
func (f *Files) KMIP() (*KMIP, error) {
	k := &KMIP{}
	for i := range options {
		if err := f.convert(k, &options[i]); err != nil {
			return nil, err
		}
	}
	for i := range k.Hosts {
		if k.Hosts[i].Port == 0 {
			k.Hosts[i].Port = k.Port
		}
	}
	if err := f.consistent(k); err != nil {
		return nil, err
	}
	return k, nil
}

// consistent tells of options that do not go together.
func (f *Files) consistent(k *KMIP) error {
	switch {
	case len(k.Password) > 0 && k.Username == "":
		return f.fail("password", "needs a username")
	case k.Integrated && k.Username != "" && (k.KMIPVersion == "1.0" || k.KMIPVersion == "1.1"):
		return f.fail("kmip_version", "has no room for the credential of mode = integrated beside that of username: it must be 1.2 or later")
	}
	return nil
}

// convert treats an empty text as unset where an option may be unset.
func (f *Files) convert(k *KMIP, o *option) error {
	n := name{"kmip", o.name}
	v, at, err := f.effective(n)
	switch {
	case err != nil:
		return err
	case at == nil && o.required:
		return f.fail(o.name, "is required and not set")
	case at == nil:
		return nil
	case v.text == "" && o.required:
		return at.fail(n, "is required and empty")
	}
	if err := o.set(k, v.text); err != nil {
		return at.fail(n, describe(v, err))
	}
	return nil
}

func (f *Files) fail(option, reason string) error { return f.Fault("kmip", option, reason) }

// describe shows a text that cannot be honoured, unless a secret went into it.
func describe(v value, err error) string {
	if v.secret {
		return "refers to a secret, and what comes of it cannot be used here"
	}
	return fmt.Sprintf("%.80q %v", v.text, err)
}

// Effective is the text of every [kmip] option after interpolation, defaults included: nil where there is none, "***"
// for a secret and whatever refers to one, and the text as written where it cannot be interpolated.
func (f *Files) Effective() map[string]*string {
	texts := make(map[string]*string, len(options))
	for i := range options {
		texts[options[i].name] = f.shown(name{"kmip", options[i].name})
	}
	return texts
}

// Unknown tells of the names in the files' [kmip] that are no options, which oslo.config passes over without a word. One that
// resembles no option is not shown: it may be a piece of a password.
func (f *Files) Unknown() []string {
	var faults []string
	for i, sections := range f.files {
		s := sections["kmip"]
		if s == nil {
			continue
		}
		for _, option := range s.names() {
			n := name{"kmip", option}
			if lookupOption(n) != nil {
				continue
			}
			at, err := f.inFile(i, n)
			if err != nil {
				continue
			}
			if !resemblesOption(option) {
				n.option = "?"
			}
			faults = append(faults, at.fail(n, "there is no such option, and nothing reads it").Error())
		}
	}
	return faults
}

func (f *Files) shown(n name) *string {
	v, at, err := f.effective(n)
	text := v.text
	switch {
	case at == nil:
		return nil
	case v.secret, isSecret(n):
		text = "***"
	case err != nil:
		text = strings.ToValidUTF8(at.text, "\ufffd")
	}
	return &text
}
