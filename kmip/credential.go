package kmip

import (
	"fmt"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/ttlv"
)

// CredentialType says what a Credential holds (section 9.1.3.2.1).
type CredentialType uint32

// The credential types in use.
const (
	UsernameAndPassword CredentialType = 1
	Device              CredentialType = 2
)

// Credential identifies who asks, beside the certificate (section 2.1.2). What the value holds depends on the type.
type Credential struct {
	Type  CredentialType
	Value ttlv.Value
}

func (d *Credential) fields(c *ttlv.Coder) {
	ttlv.Enum(c, ttlv.TagCredentialType, &d.Type)
	c.Value(ttlv.TagCredentialValue, &d.Value)
}

// Clear overwrites the value, which nobody may still be using.
func (d *Credential) Clear() { clear(d.Value.Data) }

// sinceSeveral is the first version in which a message may carry more than one credential (section 6.6).
const sinceSeveral = V1_2

// CredentialsError says that the credentials to send are more than a message of the server's version carries. Nothing was
// sent: none of them is ever left out.
type CredentialsError struct {
	Server  string
	Version Version
	Count   int
}

func (e *CredentialsError) Error() string {
	return fmt.Sprintf("kmip: a message to %s in KMIP %v can carry only one credential, and there are %d", e.Server, e.Version, e.Count)
}

// Password is the value of a Username and Password credential.
type Password struct {
	Username string
	Password secret.Bytes
}

func (p *Password) fields(c *ttlv.Coder) {
	c.Text(ttlv.TagUsername, &p.Username)
	secretText(c, ttlv.TagPassword, &p.Password)
}

// secretText is an optional Text String that is kept as bytes, so that it can be overwritten.
func secretText(c *ttlv.Coder, tag ttlv.Tag, v *secret.Bytes) {
	if !c.Present(tag, len(*v) > 0) {
		return
	}
	value := ttlv.Value{Type: ttlv.TypeTextString, Data: *v}
	if c.Value(tag, &value); value.Type != ttlv.TypeTextString {
		c.Fail(tag, "type %v, not Text String", value.Type)
	}
	*v = value.Data
}

// PasswordCredential is a Username and Password credential.
func PasswordCredential(username string, password secret.Bytes) Credential {
	p := Password{username, password}
	return Credential{UsernameAndPassword, ttlv.StructValue(0, p.fields)}
}

// Password reads a Username and Password credential.
func (d *Credential) Password() (Password, error) {
	var p Password
	err := d.Value.Struct(0, p.fields)
	return p, err
}
