# Runs in the image as a user without a name: a server by http and one by TLS, and the image's health check (/trial/health) of each.
healthy() { bash /trial/health 2>/dev/null && echo healthy || echo unhealthy; }
echo "uid $(id -u), $(touch /opt/perforator/x 2>/dev/null && echo writable || echo read-only)"
healthy
for options in "" "--listen https://127.0.0.1:7733 --tls-certificate /trial/server.pem --tls-key /trial/server.key"; do
  coproc server { exec perforator serve --data /var/lib/perforator/data $options; }
  process=$server_PID
  read -rt 60 address <&"${server[0]}" && echo "$address"
  healthy
  kill "$process"
  wait "$process"
  echo "ended with $?"
done
