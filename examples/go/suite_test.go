package suite

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

var client = &http.Client{Timeout: 10 * time.Second}

func get(t *testing.T, address string) (int, []byte) {
	t.Helper()
	answer, err := client.Get(address)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return answer.StatusCode, body
}

// token reads the token from its file, because envkit renews the file while a suite runs.
func token(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(Variable(t, name+"_FILE"))
	if err != nil {
		t.Fatalf("%s_FILE: %v", name, err)
	}
	return strings.TrimSpace(string(text))
}

func TestRedis(t *testing.T) {
	t.Parallel()
	if want, found := Variable(t, "REDIS_HOST")+":"+Variable(t, "REDIS_PORT"), Variable(t, "REDIS_ADDR"); want != found {
		t.Fatalf("REDIS_ADDR is %s, REDIS_HOST and REDIS_PORT say %s", found, want)
	}
	connection, err := net.DialTimeout("tcp", Variable(t, "REDIS_ADDR"), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(5 * time.Second))
	answers, key := bufio.NewReader(connection), "go:"+Unique()
	for _, step := range []struct{ command, want string }{
		{"SET " + key + " value EX 30", "+OK\r\n"},
		{"STRLEN " + key, ":5\r\n"},
		{"DEL " + key, ":1\r\n"},
	} {
		fmt.Fprintf(connection, "%s\r\n", step.command)
		if said, err := answers.ReadString('\n'); err != nil || said != step.want {
			t.Fatalf("%s: %q %v", step.command, said, err)
		}
	}
}

// TestPostgres starts a login like a driver (suites use pgx or lib/pq) and expects the server's request for the password.
func TestPostgres(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(Variable(t, "DATABASE_URL"))
	if err != nil {
		t.Fatal(err)
	}
	if address.Path != "/"+Variable(t, "POSTGRES_DB") || address.Query().Get("sslmode") != "disable" {
		t.Fatalf("DATABASE_URL: %s", address.Redacted())
	}
	connection, err := net.DialTimeout("tcp", Variable(t, "POSTGRES_HOST")+":"+Variable(t, "POSTGRES_PORT"), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(5 * time.Second))
	words := "user\x00" + Variable(t, "POSTGRES_USER") + "\x00database\x00" + Variable(t, "POSTGRES_DB") + "\x00\x00"
	start := binary.BigEndian.AppendUint32(nil, uint32(8+len(words)))
	start = binary.BigEndian.AppendUint32(start, 3<<16)
	if _, err := connection.Write(append(start, words...)); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 9)
	if _, err := io.ReadFull(connection, said); err != nil || said[0] != 'R' {
		t.Fatalf("expected an authentication request, found %q %v", said, err)
	}
}

func TestDataStorage(t *testing.T) {
	t.Parallel()
	if status, _ := get(t, Variable(t, "TEST_DATA_STORAGE_HEALTH_URL")+"/readyz"); status != 200 {
		t.Fatalf("readyz: %d", status)
	}
	events, correlation := Variable(t, "TEST_DATA_STORAGE_URL")+"/api/v1/audit/events", "go-"+Unique()
	event, _ := json.Marshal(Object{
		"version": "1.0", "event_type": "gateway.signal.received", "event_category": "gateway",
		"event_timestamp": time.Now().UTC().Format(time.RFC3339Nano), "event_action": "received",
		"event_outcome": "success", "correlation_id": correlation, "event_data": Object{"from": "Go"},
	})
	answer, err := client.Post(events, "application/json", bytes.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 201 && answer.StatusCode != 202 {
		body, _ := io.ReadAll(answer.Body)
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	Eventually(t, "the event", 10*time.Second, func() error {
		status, body := get(t, events+"?correlation_id="+correlation)
		var page struct{ Data []Object }
		if err := json.Unmarshal(body, &page); err != nil || status != 200 {
			return fmt.Errorf("%d %s %v", status, body, err)
		}
		return Expect("events", 1, len(page.Data))
	})
}

func request(name, namespace string) Object {
	now := time.Now().UTC().Format(time.RFC3339)
	return Object{
		"apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationRequest",
		"metadata": Object{"name": name, "namespace": namespace},
		"spec": Object{
			"firingTime": now, "receivedTime": now, "severity": "critical", "signalName": "PodCrashLooping",
			"signalFingerprint": strings.Repeat("0a", 32), "signalType": "prometheus-alert", "targetType": "kubernetes",
			"targetResource": Object{"kind": "Pod", "name": "web", "namespace": namespace},
		},
	}
}

func TestWhoIsAuthorizedMayCreate(t *testing.T) {
	t.Parallel()
	namespace, remove := Connect(t, "").Namespace(t, "go")
	defer remove()
	path := "/apis/kubernaut.ai/v1alpha1/namespaces/" + namespace + "/remediationrequests"
	authorized := Connect(t, token(t, "GATEWAY_AUTHORIZED_TOKEN"))
	if status, answer, err := authorized.Ask(http.MethodPost, path, request("first", namespace)); status != 201 {
		t.Fatalf("%d %v %v", status, answer["message"], err)
	}
	wrong := request("second", namespace)
	wrong["spec"].(Object)["signalFingerprint"] = "short"
	if status, _, err := authorized.Ask(http.MethodPost, path, wrong); status != 422 {
		t.Fatalf("an invalid request: %d %v", status, err)
	}
	unauthorized := Connect(t, token(t, "GATEWAY_UNAUTHORIZED_TOKEN"))
	if status, _, err := unauthorized.Ask(http.MethodPost, path, request("third", namespace)); status != 403 {
		t.Fatalf("whoever may not: %d %v", status, err)
	}
}

func TestNamespacesInParallelAreEachTheirOwn(t *testing.T) {
	t.Parallel()
	admin := Connect(t, "")
	for worker := 0; worker < 8; worker++ {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			name, remove := admin.Namespace(t, "go-parallel")
			defer remove()
			body := Object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": Object{"name": "own"}}
			if status, answer, err := admin.Ask(http.MethodPost, "/api/v1/namespaces/"+name+"/configmaps", body); status != 201 {
				t.Fatalf("%d %v %v", status, answer["message"], err)
			}
		})
	}
}

type fatal struct{ said string }

func (f *fatal) Helper()                           {}
func (f *fatal) Fatalf(format string, args ...any) { f.said = fmt.Sprintf(format, args...) }

func TestAMissingVariableIsNamed(t *testing.T) {
	t.Parallel()
	seen := &fatal{}
	if Variable(seen, "THERE_IS_NO_SUCH_VARIABLE"); !strings.Contains(seen.said, "THERE_IS_NO_SUCH_VARIABLE is not set") {
		t.Fatalf("said %q", seen.said)
	}
}
