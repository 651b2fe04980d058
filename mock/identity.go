package mock

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/keystone"
	"kmip-keymgr/kmip"
)

// Identity is who sends a message.
type Identity struct {
	// Owner is whose the objects are that the client makes and sees: what its certificate says, or its project.
	Owner string
	// Token is what Keystone says of the client, nil where nobody asked Keystone.
	Token *keystone.Token
}

// knowsNot reports whether the client is not even to know of another's objects.
func (i *Identity) knowsNot(owner *Identity) bool { return i.Token != nil && i.Owner != owner.Owner }

// Authenticator tells who sends a message, by the connection and the message's credentials. It is called for every
// message, from several goroutines, and may take its time, until the context ends with the server; an error refuses the
// message as a whole, a [kmip.ResultReason] in it is the reason.
type Authenticator func(ctx context.Context, state *tls.ConnectionState, credentials []kmip.Credential) (Identity, error)

// User is a client's name and password, beside its certificate.
type User struct {
	Name     string
	Password secret.Bytes
}

// ParseUser reads NAME:PASSWORD.
func ParseUser(text string) (User, error) {
	name, password, ok := strings.Cut(text, ":")
	if !ok || name == "" || password == "" {
		return User{}, fmt.Errorf("mock: a user is NAME:PASSWORD")
	}
	return User{name, secret.Bytes(password)}, nil
}

// certificateAndUser knows a client by its certificate and, where there are users, also by which of them it is.
func certificateAndUser(users []User) Authenticator {
	return func(_ context.Context, state *tls.ConnectionState, credentials []kmip.Credential) (Identity, error) {
		name, err := commonName(state)
		if err != nil {
			return Identity{}, err
		}
		for i := range credentials {
			user, err := checkCredential(&credentials[i], users)
			if err != nil {
				return Identity{}, err
			}
			if user != "" {
				return Identity{Owner: name + "/" + user}, nil
			}
		}
		if len(users) > 0 {
			return Identity{}, unauthentic("a Username and Password credential is required")
		}
		return Identity{Owner: name}, nil
	}
}

// commonName is the one Common Name of a certificate that is meant for clients. PyKMIP asks for exactly this.
func commonName(state *tls.ConnectionState) (string, error) {
	cert := leaf(state)
	if cert == nil || !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return "", unauthentic("the certificate has no extended key usage for clients")
	}
	var names []string
	for _, n := range cert.Subject.Names {
		if value, ok := n.Value.(string); ok && n.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
			names = append(names, value)
		}
	}
	if len(names) != 1 || names[0] == "" {
		return "", unauthentic("the certificate has %d common names, not one", len(names))
	}
	return names[0], nil
}

// checkCredential checks one credential (section 2.1.2). It is the user's name where there are users.
func checkCredential(c *kmip.Credential, users []User) (string, error) {
	switch c.Type {
	case kmip.Device:
		return "", nil
	case kmip.UsernameAndPassword:
	default:
		return "", unauthentic("credential type 0x%X is not supported", uint32(c.Type))
	}
	p, err := c.Password()
	if err != nil {
		return "", invalid("%s", err)
	}
	if len(users) == 0 {
		return "", nil
	}
	for i := range users {
		if sameSecret(users[i].Password, p.Password) && users[i].Name == p.Username {
			return p.Username, nil
		}
	}
	return "", unauthentic("wrong user name or password")
}

// sameSecret compares in a time that tells nothing about either.
func sameSecret(a, b secret.Bytes) bool {
	x, y := sha256.Sum256(a), sha256.Sum256(b)
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func unauthentic(format string, args ...any) error {
	return refusal(kmip.AuthenticationNotSuccessful, format, args...)
}
