package mock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
)

func TestParseFault(t *testing.T) {
	for text, want := range map[string]mock.Fault{
		"*:refuse":                    {Action: mock.Refuse, Count: 1},
		"Create:drop-request":         {Operation: kmip.OpCreate, Action: mock.DropRequest, Count: 1},
		"Get:drop-response:3":         {Operation: kmip.OpGet, Action: mock.DropResponse, Count: 3},
		"Get:truncate=8":              {Operation: kmip.OpGet, Action: mock.Truncate, Bytes: 8, Count: 1},
		"Locate:delay=1.5s:2":         {Operation: kmip.OpLocate, Action: mock.Delay, Delay: 1500 * time.Millisecond, Count: 2},
		"*:garbage":                   {Action: mock.Garbage, Count: 1},
		"Destroy:reason=ItemNotFound": {Operation: kmip.OpDestroy, Action: mock.Fail, Reason: kmip.ItemNotFound, Count: 1},
	} {
		got, err := mock.ParseFault(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "Create", "create:refuse", "Create:explode", "Create:refuse:0", "Create:refuse:x", "Create:truncate", "Create:truncate=-1",
		"Create:delay=soon", "Create:reason=Because", "Create:refuse:1:2", "Create:drop-request=1", "Create:delay=-1s",
	} {
		_, err := mock.ParseFault(text)
		require.ErrorContains(t, err, "mock: fault", text)
	}
}

// TestFaults: what the client sees of each fault, and whether the operation was executed.
func TestFaults(t *testing.T) {
	var lost *kmip.TransportError
	var bad *kmip.BadResponseError
	for _, test := range []struct {
		fault    string
		seen     func(error) bool
		executed int
	}{
		{"Create:drop-request", func(err error) bool { return errors.As(err, &lost) && lost.Sent }, 0},
		{"Create:drop-response", func(err error) bool { return errors.As(err, &lost) && lost.Sent }, 1},
		{"Create:truncate=0", func(err error) bool { return errors.As(err, &lost) && lost.Sent }, 1},
		{"Create:truncate=40", func(err error) bool { return errors.As(err, &lost) && lost.Sent }, 1},
		{"Create:garbage", func(err error) bool { return errors.As(err, &bad) }, 1},
		{"Create:delay=30ms", func(err error) bool { return err == nil }, 1},
		{"Create:reason=GeneralFailure", func(err error) bool { return errors.Is(err, kmip.GeneralFailure) }, 0},
		{"*:reason=ServerLimitExceeded", func(err error) bool { return errors.Is(err, kmip.ServerLimitExceeded) }, 0},
		{"*:refuse", func(err error) bool { return errors.As(err, &lost) }, 0},
		{"Get:drop-request", func(err error) bool { return err == nil }, 1},
	} {
		t.Run(test.fault, func(t *testing.T) {
			fault, err := mock.ParseFault(test.fault)
			require.NoError(t, err)
			server := start(t, mock.Config{Faults: []mock.Fault{fault}})
			_, err = kmip.Do(t.Context(), connect(t, server.Client(), kmip.V1_4), createAES())
			require.True(t, test.seen(err), "%v", err)
			require.Len(t, server.Inventory(), test.executed)
			if fault.Operation != kmip.OpGet {
				do(t, connect(t, server.Client(), kmip.V1_4), createAES()) // the fault is used up
			}
		})
	}
}

func TestFaultsCount(t *testing.T) {
	server := start(t, mock.Config{})
	server.Inject(mock.Fault{Operation: kmip.OpLocate, Action: mock.Fail, Reason: kmip.GeneralFailure, Count: 2},
		mock.Fault{Action: mock.Delay, Delay: time.Millisecond})
	c := connect(t, server.Client(), kmip.V1_4)
	do(t, c, createAES())
	refused(t, c, &kmip.Locate{}, kmip.GeneralFailure)
	refused(t, c, &kmip.Locate{}, kmip.GeneralFailure)
	do(t, c, &kmip.Locate{})
}

// TestAFaultsReason is what the fault says, though a server of 1.x would not give it.
func TestAFaultsReason(t *testing.T) {
	for _, v := range []kmip.Version{kmip.V1_0, kmip.V1_4, kmip.V2_0} {
		server := start(t, mock.Config{})
		server.Inject(mock.Fault{Operation: kmip.OpCreate, Action: mock.Fail, Reason: kmip.NonUniqueNameAttribute})
		refused(t, connect(t, server.Client(), v), createAES(), kmip.NonUniqueNameAttribute)
	}
}

func TestAFaultInABatchFailsItsItem(t *testing.T) {
	server := start(t, mock.Config{})
	server.Inject(mock.Fault{Operation: kmip.OpActivate, Action: mock.Fail, Reason: kmip.OperationNotSupported})
	var b kmip.Batch
	created, activated := kmip.Add(&b, createAES()), kmip.Add(&b, &kmip.Activate{})
	require.NoError(t, connect(t, server.Client(), kmip.V1_4).Run(t.Context(), &b))
	require.NoError(t, created.Err)
	require.ErrorIs(t, activated.Err, kmip.OperationNotSupported)
}

// TestAFaultWaitsForItsOperation: one that a batch did not come to leaves the fault for the next.
func TestAFaultWaitsForItsOperation(t *testing.T) {
	for _, action := range []mock.Fault{
		{Action: mock.Fail, Reason: kmip.GeneralFailure}, {Action: mock.DropResponse}, {Action: mock.Garbage}, {Action: mock.Truncate}, {Action: mock.Delay, Delay: time.Hour},
	} {
		server := start(t, mock.Config{})
		action.Operation = kmip.OpGet
		server.Inject(action)
		c := connect(t, server.Client(), kmip.V1_4)
		made := do(t, c, createAES())
		var b kmip.Batch
		activated, read := kmip.Add(&b, &kmip.Activate{UniqueIdentifier: "none"}), kmip.Add(&b, &kmip.Get{UniqueIdentifier: made.UniqueIdentifier})
		require.NoError(t, c.Run(t.Context(), &b), "%+v", action)
		require.ErrorIs(t, activated.Err, kmip.ItemNotFound)
		require.ErrorIs(t, read.Err, kmip.ErrNotRun)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := kmip.Do(ctx, c, &kmip.Get{UniqueIdentifier: made.UniqueIdentifier})
		cancel()
		require.Error(t, err, "%+v", action)
		if action.Action != mock.Delay { // which the server is still at
			do(t, connect(t, server.Client(), kmip.V1_4), &kmip.Get{UniqueIdentifier: made.UniqueIdentifier})
		}
	}
}
