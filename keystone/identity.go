package keystone

import (
	"encoding/json"
)

// fields is an object in a request. Its order does not matter to Keystone.
type fields map[string]any

// check tells what is missing from an identity, or too much.
func (c *Config) check() error {
	if err := c.checkScope(); err != nil {
		return err
	}
	switch c.AuthType {
	case Password:
		if len(c.Password) == 0 {
			return &ConfigError{"password", "missing"}
		}
		return c.checkUser()
	case ApplicationCredential:
		return c.checkApplication()
	}
	if _, err := headerText(c.Token); err != nil {
		return &ConfigError{"token", "missing or malformed"}
	}
	return nil
}

func (c *Config) checkUser() error {
	switch {
	case c.UserID != "":
		return nil
	case c.Username == "":
		return &ConfigError{"username", "missing, and so is user_id"}
	case c.UserDomainID == "" && c.UserDomainName == "":
		return &ConfigError{"user_domain_name", "missing: a username needs a domain"}
	}
	return nil
}

func (c *Config) checkApplication() error {
	switch {
	case len(c.ApplicationCredentialSecret) == 0:
		return &ConfigError{"application_credential_secret", "missing"}
	case c.scope() != nil:
		return &ConfigError{"auth_type", "an application credential has its own scope: leave project, domain, trust and system out"}
	case c.ApplicationCredentialID != "":
		return nil
	case c.ApplicationCredentialName == "":
		return &ConfigError{"application_credential_id", "missing, and so is application_credential_name"}
	}
	return c.checkUser()
}

func (c *Config) checkScope() error {
	scopes := 0
	for _, named := range [...]string{c.ProjectID + c.ProjectName, c.DomainID + c.DomainName, c.TrustID, c.SystemScope} {
		if named != "" {
			scopes++
		}
	}
	switch {
	case scopes > 1:
		return &ConfigError{"project_name", "only one of project, domain, trust_id and system_scope can be the scope"}
	case c.SystemScope != "" && c.SystemScope != "all":
		return &ConfigError{"system_scope", "must be all"}
	case c.ProjectName != "" && c.ProjectID+c.ProjectDomainID+c.ProjectDomainName == "":
		return &ConfigError{"project_domain_name", "missing: a project_name needs a domain"}
	}
	return nil
}

// request is the body that asks for a token (Identity API v3, "Password authentication with scoped authorization" and its
// neighbours). It holds the secret: clear it.
func (c *Config) request() ([]byte, error) {
	method, proof := c.proof()
	auth := fields{"identity": fields{"methods": []string{method}, method: proof}}
	if scope := c.scope(); scope != nil {
		auth["scope"] = scope
	}
	return json.Marshal(fields{"auth": auth})
}

func (c *Config) proof() (method string, proof fields) {
	switch c.AuthType {
	case ApplicationCredential:
		return "application_credential", c.application()
	case TokenAuth:
		return "token", fields{"id": string(c.Token)}
	}
	user := c.user()
	user["password"] = string(c.Password)
	return "password", fields{"user": user}
}

func (c *Config) application() fields {
	proof := fields{"secret": string(c.ApplicationCredentialSecret)}
	if c.ApplicationCredentialID != "" {
		proof["id"] = c.ApplicationCredentialID
		return proof
	}
	proof["name"], proof["user"] = c.ApplicationCredentialName, c.user()
	return proof
}

func (c *Config) user() fields { return named(c.UserID, c.Username, c.UserDomainID, c.UserDomainName) }

// scope is nil for none: then Keystone takes the user's default project, if there is one.
func (c *Config) scope() fields {
	switch {
	case c.ProjectID != "" || c.ProjectName != "":
		return fields{"project": named(c.ProjectID, c.ProjectName, c.ProjectDomainID, c.ProjectDomainName)}
	case c.DomainID != "" || c.DomainName != "":
		return fields{"domain": named(c.DomainID, c.DomainName, "", "")}
	case c.TrustID != "":
		return fields{"OS-TRUST:trust": fields{"id": c.TrustID}}
	case c.SystemScope != "":
		return fields{"system": fields{"all": true}}
	}
	return nil
}

// named is an ID or, without one, a name and the domain that makes it unique.
func named(id, name, domainID, domainName string) fields {
	if id != "" {
		return fields{"id": id}
	}
	f := fields{"name": name}
	if domainID != "" || domainName != "" {
		f["domain"] = named(domainID, domainName, "", "")
	}
	return f
}
