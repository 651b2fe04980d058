package mock

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"kmip-keymgr/keystone"
	"kmip-keymgr/kmip"
)

// byToken knows a client by the token in its OpenStack credential, of which docs/credential.md says what a server does with
// it. The certificate must be one for clients, and where there are users, one of them must be named; neither says who it is.
func byToken(k *keystone.Client, users []User) Authenticator {
	beside := certificateAndUser(users)
	return func(ctx context.Context, state *tls.ConnectionState, credentials []kmip.Credential) (Identity, error) {
		said, others, err := openStackCredential(credentials)
		if err != nil {
			return Identity{}, err
		}
		if _, err := beside(ctx, state, others); err != nil {
			return Identity{}, err
		}
		token, err := k.Validate(ctx, said.AuthToken, said.ServiceToken)
		if err == nil {
			err = agrees(token, said)
		}
		if err != nil {
			return Identity{}, unknown(err)
		}
		return Identity{Owner: token.Project.ID, Token: token}, nil
	}
}

// openStackCredential is the message's one OpenStack credential, and all others.
func openStackCredential(credentials []kmip.Credential) (said *kmip.RequestContext, others []kmip.Credential, err error) {
	for i := range credentials {
		switch {
		case credentials[i].Type != kmip.OpenStack:
			others = append(others, credentials[i])
		case said != nil:
			return nil, nil, unauthentic("two OpenStack credentials")
		default:
			if said, err = credentials[i].RequestContext(); err != nil {
				return nil, nil, invalid("the OpenStack credential: %s", err)
			}
		}
	}
	if said == nil {
		return nil, nil, unauthentic("an OpenStack credential is required")
	}
	return said, others, nil
}

// unknown is the refusal of a message whose sender Keystone does not tell: because the token is not good, or because there
// is no asking Keystone now.
func unknown(err error) error {
	switch {
	case errors.Is(err, keystone.TokenRefused):
		return unauthentic("%s", err)
	case errors.Is(err, keystone.IdentityRefused), errors.Is(err, keystone.Unavailable):
		return refusal(kmip.IdentityUnavailable, "%s", err)
	}
	return err
}

// agrees checks what stands beside the token against what Keystone says of it. Roles and is_admin are not looked at: services
// raise them for their own purposes, and they give nobody any right here. Nor are names, which may have changed since.
func agrees(token *keystone.Token, said *kmip.RequestContext) error {
	if token.Project.ID == "" {
		return unauthentic("the token is for no project")
	}
	for _, field := range [...]struct{ name, said, is string }{
		{"user_id", said.UserID, token.User.ID},
		{"project_id", said.ProjectID, token.Project.ID},
		{"user_domain_id", said.UserDomainID, token.User.Domain.ID},
		{"project_domain_id", said.ProjectDomainID, token.Project.Domain.ID},
	} {
		if field.said != "" && field.said != field.is {
			return unauthentic("%s is not the token's", field.name)
		}
	}
	return nil
}

// deed is what an operation does, as far as roles matter.
type deed uint8

const (
	ask    deed = iota // about the server
	know               // an object's attributes
	search             // which objects there are
	read               // an object's value
	change             // objects: make, alter or destroy them
)

// deedOf is what an operation does. One that is not listed changes something.
func deedOf(o kmip.Operation) deed {
	switch o {
	case kmip.OpQuery, kmip.OpDiscoverVersions:
		return ask
	case kmip.OpGetAttributes, kmip.OpGetAttributeList:
		return know
	case kmip.OpLocate:
		return search
	case kmip.OpGet:
		return read
	}
	return change
}

// mayDo reports whether a role, by its name in Keystone, permits something in the token's project. It is what Barbican's
// policies of Debian 12 say of secrets (barbican/common/policies, the old defaults and the new together), and beside them a
// service's own identity does in its own project what a creator does. No role permits anything in another project.
func mayDo(role string, d deed) bool {
	switch strings.ToLower(role) { // as oslo.policy compares them
	case "admin", "member", "creator", "service":
		return true
	case "observer":
		return d <= read
	case "audit", "key-manager:service-admin":
		return d <= know
	}
	return d <= ask
}

// may tells why the client's roles do not permit an operation.
func (i *Identity) may(o kmip.Operation) error {
	if i.Token == nil {
		return nil
	}
	d := deedOf(o)
	if d == ask || slices.ContainsFunc(i.Token.Roles, func(role string) bool { return mayDo(role, d) }) {
		return nil
	}
	return refusal(kmip.PermissionDenied, "none of the roles %q may %v", i.Token.Roles, o)
}

// The namespaces of Application Specific Information that say whose an object is. Under the last both are told as JSON.
const (
	projectNamespace = "openstack-project-id"
	userNamespace    = "openstack-user-id"
	recordNamespace  = "openstack"
)

// claim is one of an object's statements of whose it is.
type claim struct{ namespace, data string }

// claims are all such statements. What is under the last namespace and no JSON object states nothing.
func (l attributes) claims() (list []claim) {
	for _, info := range kmip.Attributes(l).Applications() {
		switch info.Namespace {
		case projectNamespace, userNamespace:
			list = append(list, claim{info.Namespace, info.Data})
		case recordNamespace:
			list = append(list, claimsIn(info.Data)...)
		}
	}
	return list
}

func claimsIn(text string) (list []claim) {
	var record struct {
		Project *string `json:"openstack-project-id"`
		User    *string `json:"openstack-user-id"`
	}
	_ = json.Unmarshal([]byte(text), &record)
	if record.Project != nil {
		list = append(list, claim{projectNamespace, *record.Project})
	}
	if record.User != nil {
		list = append(list, claim{userNamespace, *record.User})
	}
	return list
}

// mayClaim checks the claims of an object against Keystone's answer: a new one must agree with it, and an old one stays.
func (i *Identity) mayClaim(before, after attributes) error {
	if i.Token == nil {
		return nil
	}
	was, is := before.claims(), after.claims()
	for _, c := range is {
		truth := i.Token.Project.ID
		if c.namespace == userNamespace {
			truth = i.Token.User.ID
		}
		if c.data != truth && !slices.Contains(was, c) {
			return refusal(kmip.PermissionDenied, "%s is not the token's", c.namespace)
		}
	}
	for _, c := range was {
		if !slices.Contains(is, c) {
			return refusal(kmip.PermissionDenied, "%s stays as it is", c.namespace)
		}
	}
	return nil
}

// madeBy is the project and the user that an object is from: as Keystone said when it was made, or else as it says itself.
func (o *object) madeBy() (project, user string) {
	if t := o.owner.Token; t != nil {
		return t.Project.ID, t.User.ID
	}
	known := kmip.Attributes(o.attributes)
	project, _ = known.ApplicationData(projectNamespace)
	user, _ = known.ApplicationData(userNamespace)
	return project, user
}
