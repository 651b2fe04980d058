package protocol_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/protocol"
)

// The ids of the stub's world. Asking for one of the others fails in its own way.
const (
	keyID      = "6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11"
	otherID    = "0b3f8c1e-0d5b-4f0a-9a53-1d1f4f1f7c22"
	missingID  = "00000000-0000-4000-8000-000000000404"
	refusedID  = "00000000-0000-4000-8000-000000000403"
	downID     = "00000000-0000-4000-8000-000000000503"
	slowID     = "00000000-0000-4000-8000-000000000504"
	brokenID   = "00000000-0000-4000-8000-000000000500"
	unconfigID = "00000000-0000-4000-8000-000000000001"
)

// stub answers the same to everyone and remembers what it was asked. It copies nothing, so that a test can see what Serve
// leaves of the arguments.
type stub struct {
	who    *protocol.Context
	args   any
	result any
	seen   string        // who and args as they were during the call, printed
	left   time.Duration // until the deadline

	object *protocol.Object // what get_key finds, instead of volumeKey
	check  *protocol.Check  // what check finds, likewise
}

func (s *stub) asked(ctx context.Context, who *protocol.Context, args any) {
	s.who, s.args, s.seen = who, args, fmt.Sprintf("%+v %+v", who, args)
	if deadline, ok := ctx.Deadline(); ok {
		s.left = time.Until(deadline)
	}
}

func (s *stub) CreateKey(ctx context.Context, who *protocol.Context, args *protocol.CreateKey) (*protocol.KeyID, error) {
	s.asked(ctx, who, args)
	return &protocol.KeyID{KeyID: keyID}, nil
}

func (s *stub) CreateKeyPair(ctx context.Context, who *protocol.Context, args *protocol.CreateKey) (*protocol.KeyPair, error) {
	s.asked(ctx, who, args)
	return &protocol.KeyPair{PrivateKeyID: keyID, PublicKeyID: otherID}, nil
}

func (s *stub) StoreKey(ctx context.Context, who *protocol.Context, args *protocol.StoreKey) (*protocol.KeyID, error) {
	s.asked(ctx, who, args)
	return &protocol.KeyID{KeyID: keyID}, nil
}

func (s *stub) GetKey(ctx context.Context, who *protocol.Context, args *protocol.GetKey) (*protocol.Object, error) {
	s.asked(ctx, who, args)
	if err := failure(ctx, args.KeyID); err != nil {
		return nil, err
	}
	o := volumeKey()
	if s.object != nil {
		o = s.object
	}
	if args.MetadataOnly {
		o.Value = nil
	}
	s.result = o
	return o, nil
}

func failure(ctx context.Context, id string) error {
	const server = "kms1:5696"
	switch id {
	case missingID:
		err := &protocol.Error{Kind: protocol.NotFound, Message: "no such key", Reason: "ItemNotFound", Server: server}
		return fmt.Errorf("get: %w", err)
	case refusedID:
		return &protocol.Error{Kind: protocol.Forbidden, Message: "the server refuses", Reason: "PermissionDenied", Server: server}
	case downID:
		return &protocol.Error{
			Kind: protocol.Unavailable, Message: "the reply was lost", Retryable: true, MaybeExecuted: true, Server: server,
		}
	case slowID:
		if ctx.Done() == nil {
			return nil // which nothing would end
		}
		<-ctx.Done()
		return fmt.Errorf("waiting: %w", ctx.Err())
	case brokenID:
		return errors.New("a bug")
	case unconfigID:
		return &protocol.Error{Kind: protocol.Config, Message: "nova.conf:7: [kmip] certfile: is required"}
	}
	return nil
}

func (s *stub) CopyKey(ctx context.Context, who *protocol.Context, args *protocol.CopyKey) (*protocol.KeyID, error) {
	s.asked(ctx, who, args)
	return &protocol.KeyID{KeyID: otherID}, nil
}

func (s *stub) DeleteKey(ctx context.Context, who *protocol.Context, args *protocol.DeleteKey) (*protocol.Done, error) {
	s.asked(ctx, who, args)
	return &protocol.Done{}, failure(ctx, args.KeyID)
}

func (s *stub) ListKeys(ctx context.Context, who *protocol.Context, args *protocol.ListKeys) (*protocol.KeyList, error) {
	s.asked(ctx, who, args)
	l := &protocol.KeyList{}
	if args.ObjectType == "" {
		l.Objects = []*protocol.Object{volumeKey(), passphrase()}
	}
	s.result = l
	return l, nil
}

func (s *stub) AddConsumer(ctx context.Context, who *protocol.Context, args *protocol.ChangeConsumer) (*protocol.Done, error) {
	s.asked(ctx, who, args)
	return &protocol.Done{}, nil
}

func (s *stub) RemoveConsumer(ctx context.Context, who *protocol.Context, args *protocol.ChangeConsumer) (*protocol.Done, error) {
	s.asked(ctx, who, args)
	return &protocol.Done{}, nil
}

func (s *stub) Check(ctx context.Context, who *protocol.Context, args *protocol.CheckOptions) (*protocol.Check, error) {
	s.asked(ctx, who, args)
	if s.check != nil {
		return s.check, nil
	}
	host, password := "kms1,kms2", "***"
	return &protocol.Check{
		Files:  []string{"/etc/nova/nova.conf"},
		Config: map[string]*string{"password": &password, "host": &host, "object_group": nil},
		Steps: []protocol.Step{
			{Step: "configuration", OK: true, Detail: "1 file"},
			{Step: "tcp", Detail: `dial "kms1:5696": refused`, Advice: "is the server <up>?"},
		},
	}, nil
}

func volumeKey() *protocol.Object {
	return &protocol.Object{
		Type: protocol.SymmetricKey, Name: "volume key", Created: 1767225600,
		Value:     secret.Bytes{0x00, 0xff, 0x10, 0x2a},
		Algorithm: "AES", BitLength: 32, ID: keyID, State: "active",
		Consumers: []protocol.Consumer{{Service: "cinder", ResourceType: "volume", ResourceID: otherID}},
	}
}

func passphrase() *protocol.Object {
	return &protocol.Object{Type: protocol.Passphrase, Value: secret.Bytes("é"), ID: otherID}
}

// serve runs the input through Serve with a new stub.
func serve(input string) (output string, status protocol.Status, s *stub) {
	s = &stub{}
	output, status = s.serve(strings.NewReader(input))
	return output, status, s
}

func (s *stub) serve(input io.Reader) (output string, status protocol.Status) {
	var out bytes.Buffer
	status = protocol.Serve(context.Background(), input, &out, s)
	return out.String(), status
}
