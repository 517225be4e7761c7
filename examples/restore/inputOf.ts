/** What this site's worker restores: three bytes (red, green, blue) for each pixel, in base64. Another worker takes a URL. */
export async function inputOf(photo: Blob): Promise<object> {
  const [width, height] = [320, 240];
  const picture = await createImageBitmap(photo, { resizeWidth: width, resizeHeight: height });
  const context = new OffscreenCanvas(width, height).getContext("2d")!;
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = data.filter((_, i) => i % 4 < 3);
  return { width, height, pixels: btoa(Array.from(rgb, (byte) => String.fromCharCode(byte)).join("")) };
}
