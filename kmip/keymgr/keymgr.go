// Package keymgr does with KMIP what OpenStack asks of a key manager: it gives objects ids and owners, leads them
// through their life and finds them again.
//
// # Key ids
//
// A key id is always a UUID in canonical text. Where the server's Unique Identifier is one, it is the key id. Where it is
// not, the key id is the Name that every object gets when it is made: a UUID of its own, by which Locate finds it. Either
// kind of id resolves on any host and for ever, without a table kept on this side.
//
// # Owners
//
// An object records who asked for it as Application Specific Information: openstack-project-id, openstack-user-id,
// openstack-request-id, and openstack-name, Castellan's name for it, which need not be unique. In standalone mode with
// project isolation, a caller with a project sees the objects of that project and no others; a caller without one is the
// service itself and sees all. An object of another project is not found, in the same words as one that does not exist; but
// an administrator who deletes one is forbidden to.
package keymgr

import (
	"context"
	"time"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

// Config is how a Manager behaves.
type Config struct {
	Activate         bool          // leave new objects Active
	ProjectIsolation bool          // keep the projects' objects apart
	ObjectGroup      string        // of new objects, "" for none
	Timeout          time.Duration // of one operation, with all its round trips and retries

	// LeftBehind hears of an object, by its Name, that a server may have made and that nobody will use, since that server
	// gave no answer and another made it in its place. nil for nobody.
	LeftBehind func(server, name string)
}

// Manager is a protocol.KeyManager over a KMIP client. It is for one goroutine at a time. Its errors are of type
// *protocol.Error.
type Manager struct {
	config Config
	client *kmip.Client
	packed bool   // the server takes but one instance of Application Specific Information
	maker  string // the server that made the last object

	integrated bool // see Integrated
}

// New makes a manager. The client stays the caller's to close.
func New(client *kmip.Client, config Config) *Manager {
	return &Manager{config: config, client: client}
}

// begin bounds an operation. What it returns ends it, and overwrites the messages that were exchanged.
func (m *Manager) begin(ctx context.Context) (context.Context, func()) {
	m.client.FailBack()
	cancel := context.CancelFunc(func() {})
	if by, ok := ctx.Deadline(); !ok || time.Until(by) > m.config.Timeout {
		ctx, cancel = context.WithTimeout(ctx, m.config.Timeout)
	}
	return ctx, func() {
		cancel()
		m.client.Forget()
		m.client.Stay(false)
	}
}

// settle keeps an operation to the host that gave it an identifier, unless that is a UUID, which means nothing else elsewhere.
func (m *Manager) settle(id string) {
	if !protocol.IsUUID(id) {
		m.client.Stay(true)
	}
}

// CreateKey makes a symmetric key on the server.
func (m *Manager) CreateKey(ctx context.Context, who *protocol.Context, args *protocol.CreateKey) (*protocol.KeyID, error) {
	ctx, end := m.begin(ctx)
	defer end()
	if err := m.admitNew(who, args.Expiration); err != nil {
		return nil, err
	}
	spec, err := newSpec(args.Algorithm, args.Length)
	if err != nil {
		return nil, err
	}
	id, err := m.create(ctx, spec, m.describe(who, args.Name, args.Expiration))
	return keyID(id), m.fail(err)
}

// StoreKey registers an object that the caller has.
func (m *Manager) StoreKey(ctx context.Context, who *protocol.Context, args *protocol.StoreKey) (*protocol.KeyID, error) {
	ctx, end := m.begin(ctx)
	defer end()
	if err := m.admitNew(who, args.Expiration); err != nil {
		return nil, err
	}
	id, err := m.store(ctx, args.Object, m.describe(who, args.Object.Name, args.Expiration))
	return keyID(id), m.fail(err)
}

// GetKey reads an object.
func (m *Manager) GetKey(ctx context.Context, who *protocol.Context, args *protocol.GetKey) (*protocol.Object, error) {
	ctx, end := m.begin(ctx)
	defer end()
	found, err := m.find(ctx, who, args.KeyID, !args.MetadataOnly)
	if err != nil {
		return nil, m.fail(err)
	}
	object, err := found.object(args.KeyID)
	return object, m.fail(err)
}

// CopyKey registers a second object with the value of the first, for the caller.
func (m *Manager) CopyKey(ctx context.Context, who *protocol.Context, args *protocol.CopyKey) (*protocol.KeyID, error) {
	ctx, end := m.begin(ctx)
	defer end()
	found, err := m.find(ctx, who, args.KeyID, true)
	if err != nil {
		return nil, m.fail(err)
	}
	object, err := found.object(args.KeyID)
	if err != nil {
		return nil, m.fail(err)
	}
	defer object.Clear()
	id, err := m.store(ctx, object, m.describe(who, object.Name, found.expiration()))
	return keyID(id), m.fail(err)
}

// DeleteKey destroys an object, whatever its state.
func (m *Manager) DeleteKey(ctx context.Context, who *protocol.Context, args *protocol.DeleteKey) (*protocol.Done, error) {
	ctx, end := m.begin(ctx)
	defer end()
	if err := m.delete(ctx, who, args.KeyID, args.Force); err != nil {
		return nil, m.fail(err)
	}
	return &protocol.Done{}, nil
}

// keyID is a result; what stands in it does not matter where there is an error.
func keyID(id string) *protocol.KeyID { return &protocol.KeyID{KeyID: id} }
