package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"

	"kmip-keymgr/keystone"
	novaconf "kmip-keymgr/nova_conf"
	"kmip-keymgr/protocol"
)

// The sections about Keystone: the identity for callers without a token, and the service's own, of which only the way to
// Keystone is read.
const (
	serviceUser = "kmip_service_user"
	authToken   = "keystone_authtoken"
)

// maxLogins is how many of Castellan's credentials a session keeps tokens for. A service has one or two.
const maxLogins = 16

// identities are those of callers that bring no token. Each logs in to Keystone when it is first needed, and keeps its
// token for the session.
type identities struct {
	files   *novaconf.Files
	service *keystone.Client // nil where tokenless says refuse
	logins  map[digest]*keystone.Client
}

// digest stands for one of Castellan's credentials.
type digest [sha256.Size]byte

// newIdentities reads the service's identity where it is to be used. Its errors name the option and its place.
func newIdentities(files *novaconf.Files, tokenlessService bool) (*identities, error) {
	i := &identities{files: files, logins: map[digest]*keystone.Client{}}
	if tokenlessService {
		if err := i.configure(); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// configure makes the service's client.
func (i *identities) configure() error {
	client, err := keystone.Open(func(option string) (string, bool, error) { return i.files.Text(serviceUser, option) }, os.ReadFile)
	var wrong *keystone.ConfigError
	if errors.As(err, &wrong) {
		return i.files.Fault(serviceUser, wrong.Option, wrong.Reason+" (tokenless = service in [kmip] needs it)")
	}
	if err == nil {
		i.service = client
	}
	return err
}

func (i *identities) close() {
	if i.service != nil {
		i.service.Close()
	}
	for _, client := range i.logins {
		client.Close()
	}
}

// Authenticate logs a caller in.
func (i *identities) Authenticate(ctx context.Context, credential map[string]string) (*protocol.Context, error) {
	client, err := i.client(credential)
	if err != nil {
		return nil, err
	}
	own, err := client.Authenticate(ctx)
	if err != nil {
		return nil, loginError(credential, err)
	}
	return &protocol.Context{
		AuthToken: own.Text, UserID: own.User.ID, UserName: own.User.Name, UserDomainID: own.User.Domain.ID,
		ProjectID: own.Project.ID, ProjectName: own.Project.Name, ProjectDomainID: own.Project.Domain.ID, Roles: own.Roles,
	}, nil
}

// Forget drops a token that a server refused.
func (i *identities) Forget(credential map[string]string) {
	client := i.service
	if credential != nil {
		client = i.logins[digestOf(credential)]
	}
	if client != nil {
		client.Discard()
	}
}

func (i *identities) drop(d digest) {
	if client := i.logins[d]; client != nil {
		client.Close()
	}
	delete(i.logins, d)
}

// client is the one that logs a caller in.
func (i *identities) client(credential map[string]string) (*keystone.Client, error) {
	if credential == nil {
		return i.serviceClient()
	}
	d := digestOf(credential)
	if client := i.logins[d]; client != nil {
		return client, nil
	}
	client, err := i.login(credential)
	if err != nil {
		return nil, err
	}
	for other := range i.logins {
		if len(i.logins) < maxLogins {
			break
		}
		i.drop(other)
	}
	i.logins[d] = client
	return client, nil
}

func (i *identities) serviceClient() (*keystone.Client, error) {
	if i.service == nil {
		return nil, &protocol.Error{Kind: protocol.Forbidden, Message: "the context has no token, and tokenless in [kmip] is refuse: " +
			"tokenless = service would use the identity in [" + serviceUser + "]"}
	}
	return i.service, nil
}

// digestOf writes the fields in their order, quoted, so that no two credentials look the same.
func digestOf(credential map[string]string) digest {
	return sha256.Sum256(fmt.Appendf(nil, "%q", credential))
}

// login makes a client for one of Castellan's credentials. How Keystone is reached is the operator's to say: such a
// credential has no cafile, and may leave auth_url out.
func (i *identities) login(credential map[string]string) (*keystone.Client, error) {
	isOperators := func(option string) bool {
		return isTransportOption(option) || option == "auth_url" && credential[option] == ""
	}
	client, err := keystone.Open(func(option string) (string, bool, error) {
		switch {
		case option == "auth_type":
			return strings.TrimPrefix(credential["type"], "keystone_"), true, nil // password or token
		case isOperators(option):
			return i.files.Text(i.sectionOf(option), option)
		}
		return credential[option], credential[option] != "", nil
	}, os.ReadFile)
	var wrong *keystone.ConfigError
	switch isWrong := errors.As(err, &wrong); {
	case isWrong && !isOperators(wrong.Option):
		return nil, &protocol.Error{Kind: protocol.InvalidRequest, Message: "context.castellan." + wrong.Option + ": " + wrong.Reason}
	case isWrong:
		err = i.files.Fault(i.sectionOf(wrong.Option), wrong.Option, wrong.Reason)
	}
	if err != nil {
		return nil, &protocol.Error{Kind: protocol.Config, Message: err.Error()}
	}
	return client, nil
}

// isTransportOption reports whether the option is about how Keystone is reached.
func isTransportOption(option string) bool {
	switch option {
	case "cafile", "certfile", "keyfile", "http_connect_timeout", "timeout", "http_request_max_retries":
		return true
	}
	return false
}

// sectionOf is the first section that has an option of the operator's.
func (i *identities) sectionOf(option string) string {
	if _, ok, _ := i.files.Text(serviceUser, option); ok {
		return serviceUser
	}
	return authToken
}

// loginError tells whose fault it is that there is no token: the operator's, whose section it is, the caller's, whose
// credential it is, or nobody's.
func loginError(credential map[string]string, err error) error {
	e := &protocol.Error{Kind: protocol.Unavailable, Retryable: true, Message: err.Error()}
	switch {
	case !errors.Is(err, keystone.IdentityRefused):
	case credential == nil:
		e.Kind, e.Retryable = protocol.Config, false
		e.Message = "Keystone does not take the identity in [" + serviceUser + "]: " + e.Message
	default:
		e.Kind, e.Retryable = protocol.Forbidden, false
		e.Message = "Keystone does not take the context's " + credential["type"] + ": " + e.Message
	}
	return e
}
