package keystonetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Fields is a JSON object.
type Fields map[string]any

// User is a user of the default domain who was made with a project and roles in it.
type User struct {
	ID, Name, Password     string
	ProjectID, ProjectName string
}

// prepare gets the administrator's token and makes the role that Keystone's bootstrap does not.
func (s *Server) prepare() error {
	if err := s.wait(); err != nil {
		return err
	}
	var err error
	if s.admin, err = s.login(passwordOf(Fields{"name": "admin", "domain": Fields{"id": "default"}}, adminPassword,
		Fields{"project": Fields{"name": "admin", "domain": Fields{"id": "default"}}})); err != nil {
		return err
	}
	if _, err = s.call(s.admin, http.MethodPost, "/roles", Fields{"role": Fields{"name": "service"}}, nil); err != nil {
		return err
	}
	var list struct{ Roles []struct{ ID, Name string } }
	_, err = s.call(s.admin, http.MethodGet, "/roles", nil, &list)
	for _, role := range list.Roles {
		s.role[role.Name] = role.ID
	}
	return err
}

func passwordOf(user Fields, password string, scope Fields) Fields {
	user["password"] = password
	auth := Fields{"identity": Fields{"methods": []string{"password"}, "password": Fields{"user": user}}}
	if scope != nil {
		auth["scope"] = scope
	}
	return Fields{"auth": auth}
}

// call sends a request with a token, and reads the answer's body into something. The error quotes Keystone: this is a test.
func (s *Server) call(token, method, path string, body, into any) (http.Header, error) {
	var text []byte
	var err error
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequest(method, s.URL+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	r.Close = true
	r.Header.Set("X-Auth-Token", token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if text, err = io.ReadAll(answer.Body); err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	return answer.Header, err
}

func (s *Server) login(auth Fields) (string, error) {
	header, err := s.call("", http.MethodPost, "/auth/tokens?nocatalog", auth, nil)
	return header.Get("X-Subject-Token"), err
}

// Call does something as the administrator, by Keystone's API: a path is one below /v3, and into may be nil.
func (s *Server) Call(t testing.TB, method, path string, body, into any) {
	t.Helper()
	_, err := s.call(s.admin, method, path, body, into)
	require.NoError(t, err)
}

// made reads the answer to a request that made something.
type made struct{ ID, Name, Secret string }

func (s *Server) make(t testing.TB, token, path, kind string, body Fields) made {
	t.Helper()
	m, err := s.tryMake(token, path, kind, body)
	require.NoError(t, err)
	return m
}

func (s *Server) tryMake(token, path, kind string, body Fields) (made, error) {
	answer := map[string]made{}
	s.count++
	body["name"] = fmt.Sprintf("%s-%d", kind, s.count)
	_, err := s.call(token, http.MethodPost, path, Fields{kind: body}, &answer)
	return answer[kind], err
}

// NewUser makes a user in a new project.
func (s *Server) NewUser(t testing.TB, roles ...string) User {
	t.Helper()
	project := s.make(t, s.admin, "/projects", "project", Fields{})
	return s.NewUserIn(t, project.ID, project.Name, roles...)
}

// NewUserIn makes a user in a project that exists.
func (s *Server) NewUserIn(t testing.TB, projectID, projectName string, roles ...string) User {
	t.Helper()
	const password = "correct horse battery staple"
	user := s.make(t, s.admin, "/users", "user", Fields{"password": password})
	u := User{user.ID, user.Name, password, projectID, projectName}
	for _, role := range roles {
		s.Grant(t, u, role)
	}
	return u
}

// Grant gives the user a role in the user's project.
func (s *Server) Grant(t testing.TB, u User, role string) {
	t.Helper()
	s.Call(t, http.MethodPut, s.rolePath(u, role), nil, nil)
}

// Withdraw takes it away.
func (s *Server) Withdraw(t testing.TB, u User, role string) {
	t.Helper()
	s.Call(t, http.MethodDelete, s.rolePath(u, role), nil, nil)
}

func (s *Server) rolePath(u User, role string) string {
	return "/projects/" + u.ProjectID + "/users/" + u.ID + "/roles/" + s.role[role]
}

// Change patches a user or a project: kind is which.
func (s *Server) Change(t testing.TB, kind, id string, fields Fields) {
	t.Helper()
	s.Call(t, http.MethodPatch, "/"+kind+"s/"+id, Fields{kind: fields}, nil)
}

// Delete removes a user or a project.
func (s *Server) Delete(t testing.TB, kind, id string) {
	t.Helper()
	s.Call(t, http.MethodDelete, "/"+kind+"s/"+id, nil, nil)
}

// Token logs the user in to the user's project.
func (s *Server) Token(t testing.TB, u User) string {
	t.Helper()
	return s.ScopedToken(t, u, Fields{"project": Fields{"id": u.ProjectID}})
}

// ScopedToken logs the user in to a scope; nil is none, since these users have no default project.
func (s *Server) ScopedToken(t testing.TB, u User, scope Fields) string {
	t.Helper()
	token, err := s.login(passwordOf(Fields{"id": u.ID}, u.Password, scope))
	require.NoError(t, err)
	return token
}

// Revoke revokes a token.
func (s *Server) Revoke(t testing.TB, token string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodDelete, s.URL+"/auth/tokens", nil)
	require.NoError(t, err)
	r.Header.Set("X-Auth-Token", s.admin)
	r.Header.Set("X-Subject-Token", token)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	answer.Body.Close()
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
}

// Application is an application credential.
type Application struct{ ID, Name, Secret string }

// NewApplication makes an application credential of the user's. fields may have access_rules and expires_at.
func (s *Server) NewApplication(t testing.TB, u User, fields Fields) Application {
	t.Helper()
	return Application(s.make(t, s.Token(t, u), applications(u), "application_credential", fields))
}

func applications(u User) string { return "/users/" + u.ID + "/application_credentials" }

// NewExpiredApplication makes one and waits until it expires. Keystone makes none that is expired already, so on a busy
// machine it takes more than one attempt.
func (s *Server) NewExpiredApplication(t testing.TB, u User) Application {
	t.Helper()
	token := s.Token(t, u)
	for life := time.Second; ; life *= 2 {
		end := time.Now().Add(life)
		fields := Fields{"expires_at": end.UTC().Format("2006-01-02T15:04:05.000000")}
		made, err := s.tryMake(token, applications(u), "application_credential", fields)
		if err == nil {
			time.Sleep(time.Until(end))
			return Application(made)
		}
		require.Less(t, life, patience, "%v", err)
	}
}

// ApplicationToken logs an application credential in.
func (s *Server) ApplicationToken(t testing.TB, a Application) string {
	t.Helper()
	token, err := s.login(Fields{"auth": Fields{"identity": Fields{
		"methods":                []string{"application_credential"},
		"application_credential": Fields{"id": a.ID, "secret": a.Secret},
	}}})
	require.NoError(t, err)
	return token
}

// Role is a role's ID.
func (s *Server) Role(t testing.TB, name string) string {
	t.Helper()
	require.Contains(t, s.role, name)
	return s.role[name]
}
