package kmip

import (
	"context"
	"fmt"
	"slices"
)

// versions are those that the client may speak, in the order in which it tries them.
func (c *Client) versions() []Version {
	if c.config.Version != 0 {
		return []Version{c.config.Version}
	}
	return Versions()
}

// negotiated exchanges the batch in a version that the server speaks. The first guess costs nothing when it is right;
// when it is not, the server is asked (section 4.26), and where it does not say, the other versions are tried in turn. A
// refused message was not executed, so sending it again does no harm.
func (c *Client) negotiated(ctx context.Context, b *Batch) (*ResponseMessage, error) {
	response, err := c.exchange(ctx, b, 0)
	if err != nil || c.settled {
		return response, err
	}
	if !response.otherVersion(c.version) {
		c.settled = true
		return response, nil
	}
	said, lost := c.discover(ctx, response.Header.Version)
	if said != nil {
		return c.useVersion(ctx, b, response, said)
	}
	return c.tryVersions(ctx, b, response, lost)
}

// otherVersion reports whether the response may be that of a server which does not speak the version asked.
func (m *ResponseMessage) otherVersion(asked Version) bool {
	refused := m.refusal()
	return refused != nil && refused.Reason.aboutMessage() &&
		(m.Header.Version != asked || refused.Reason == UnsupportedProtocolVersion)
}

// discover asks for the server's versions in a version that it may understand. The answer is nil where it does not say,
// whether it refuses, hangs up or answers nonsense: there are servers for each. lost reports that no answer
// could be read: what the server would have said may just be lost.
func (c *Client) discover(ctx context.Context, hint Version) (said []Version, lost bool) {
	var b Batch
	result := Add(&b, &DiscoverVersions{})
	response, err := c.exchange(ctx, &b, max(hint, OpDiscoverVersions.Since()))
	if err != nil {
		return nil, true
	}
	if b.deliver(response, c.server, ""); result.Err != nil {
		return nil, false
	}
	return result.Response.Versions, false
}

// useVersion takes the first of our versions that the server said it speaks.
func (c *Client) useVersion(ctx context.Context, b *Batch, first *ResponseMessage, said []Version) (*ResponseMessage, error) {
	for _, v := range c.versions() {
		if !slices.Contains(said, v) {
			continue
		}
		c.settled = true
		if v == c.version {
			return first, nil // it speaks the version, so what it refused is the message
		}
		c.version = v
		return c.exchange(ctx, b, v)
	}
	return nil, &VersionError{Server: c.server, Wanted: c.versions(), Speaks: said}
}

// tryVersions sends the batch in the versions not yet tried, until one is not refused. Where there is none to try, and what
// the server says of its versions is lost, the refusal may as well be about the message.
func (c *Client) tryVersions(ctx context.Context, b *Batch, first *ResponseMessage, lost bool) (*ResponseMessage, error) {
	for _, v := range c.versions() {
		if _, err := c.credentials(v); v == c.version || err != nil {
			continue
		}
		response, err := c.exchange(ctx, b, v)
		if err != nil {
			return nil, err
		}
		if refused := response.refusal(); refused == nil || !refused.Reason.aboutMessage() {
			c.version, c.settled = v, true
			return response, nil
		}
	}
	if c.config.Version != 0 && c.caller == nil && (!lost || first.refusal().Reason == UnsupportedProtocolVersion) {
		return nil, c.refusedVersion(first)
	}
	return first, nil // which may be about something else, such as a credential that the server does not know
}

// refusedVersion is the error of a refusal in another version than the only one that the client may speak.
func (c *Client) refusedVersion(response *ResponseMessage) error {
	e := &VersionError{Server: c.server, Wanted: c.versions(), refusal: response.refusal()}
	if v := response.Header.Version; v != c.config.Version {
		e.Speaks = []Version{v}
	}
	return e
}

// VersionError says that the server speaks none of the versions that the client may.
type VersionError struct {
	Server         string
	Wanted, Speaks []Version // Speaks is what is known of that

	refusal error // the server's words, nil where it has listed its versions
}

func (e *VersionError) Error() string {
	if len(e.Speaks) == 0 {
		return fmt.Sprintf("kmip: %s does not speak KMIP %v", e.Server, e.Wanted)
	}
	return fmt.Sprintf("kmip: %s speaks KMIP %v and not %v", e.Server, e.Speaks, e.Wanted)
}

// Unwrap gives the server's refusal.
func (e *VersionError) Unwrap() error { return e.refusal }
