# imds PATH: what the instance metadata say, in version 2 and no other.
imds() {
  printf 'header = "X-aws-ec2-metadata-token: %s"\n' "$imds_token" |
    curl -q --config - --noproxy '*' --fail --silent --show-error --connect-timeout 2 --max-time 5 \
      --retry 5 --retry-connrefused --retry-delay 1 "$IMDS/latest/meta-data/$1"
}

# prepare: the role's credentials; they stay in variables of this shell and go to curl by a pipe, and never into an argument or a file.
prepare() {
  hint=" (S3 answers 403 also when it is not there, or when this machine's clock is wrong: look at the role and its prefix, the bucket, the region, what was promoted, and the clock)"
  imds_token=$(curl -q --noproxy '*' --fail --silent --show-error --connect-timeout 2 --max-time 5 \
    --retry 5 --retry-connrefused --retry-delay 1 --request PUT \
    --header 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$IMDS/latest/api/token") ||
    fail "no token of the instance metadata at $IMDS: IMDSv2 must be enabled in the launch template"
  role=$(imds iam/security-credentials/ | sed -n 1p)
  [ -n "$role" ] || fail "the instance has no role: name an instance profile in the launch template"
  answer=$(imds "iam/security-credentials/$role") ||
    fail "the instance metadata have no credentials of the role $role"
  access_key=$(credential AccessKeyId)
  secret_key=$(credential SecretAccessKey)
  session=$(credential Token)
}

# credential NAME: a member of the answer, when it is such a word.
credential() {
  word=$(printf '%s\n' "$answer" | sed -n "s/.*\"$1\" *: *\"\\([A-Za-z0-9/+=_-]*\\)\".*/\\1/p")
  [ -n "$word" ] || fail "the credentials of the role $role have no $1"
  printf '%s\n' "$word"
}

# get URL FILE: an object of the bucket. Without the header of the content's digest, S3 refuses curl's signature.
get() {
  printf 'user = "%s:%s"\nheader = "x-amz-security-token: %s"\n' "$access_key" "$secret_key" "$session" |
    curl -q --config - --aws-sigv4 "aws:amz:$S3_REGION:s3" --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
      --proto '=http,https' --fail --silent --show-error --connect-timeout 10 --max-time "$FETCH_S" \
      --retry 4 --retry-connrefused --retry-delay 1 --output "$2" "$1"
}
