package edgecap.demo;

import android.Manifest;
import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Context;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.graphics.Rect;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraManager;
import android.net.Uri;
import android.os.Bundle;
import android.provider.Settings;
import android.view.SurfaceHolder;
import android.view.View;
import edgecap.core.ModelSpec;

/**
 * The screen: what the camera sees and what the model makes of it.
 *
 * <p>Camera, interpreter and threads live from resume to pause and no longer, so that turning the
 * phone or leaving the app leaks nothing; the state of the recognition begins anew each time.
 */
public final class MainActivity extends Activity
    implements Recognizer.Listener, CameraSession.Listener, Lists.Listener, SurfaceHolder.Callback {
  private static final int ASK_CAMERA = 1;
  private static final int PICK_MODEL = 2;
  private static final String ASKED = "asked";

  private Choices choices;
  private Screen screen;
  private Lists lists;
  private boolean asked;
  private boolean resumed;
  private boolean surfaceReady;
  private String modelProblem;
  private String cameraProblem;
  // What may be done about it: the text of a button and its work, or null.
  private int cameraActionText;
  private View.OnClickListener cameraAction;

  // From resume to pause; the session only while the camera may be used.
  private Recognizer recognizer;
  private CameraChoice camera;
  private CameraSession session;

  @Override
  protected void onCreate(Bundle saved) {
    super.onCreate(saved);
    asked = saved != null && saved.getBoolean(ASKED);
    setContentView(R.layout.main);
    choices = new Choices(this);
    screen = new Screen(this);
    screen.preview.getHolder().addCallback(this);
    lists = new Lists(this, choices, this);
    findViewById(R.id.switch_camera)
        .setOnClickListener(
            new View.OnClickListener() {
              @Override
              public void onClick(View button) {
                choices.chooseFront(!choices.front());
                stopCamera();
                startCamera();
              }
            });
    findViewById(R.id.preview_frame)
        .addOnLayoutChangeListener(
            new View.OnLayoutChangeListener() {
              @Override
              public void onLayoutChange(View view, int left, int top, int right, int bottom,
                  int oldLeft, int oldTop, int oldRight, int oldBottom) {
                if (right - left != oldRight - oldLeft || bottom - top != oldBottom - oldTop) {
                  view.post(fitting);
                }
              }
            });
  }

  private final Runnable fitting =
      new Runnable() {
        @Override
        public void run() {
          if (camera != null) {
            screen.fitPreview(camera);
          }
        }
      };

  @Override
  protected void onResume() {
    super.onResume();
    resumed = true;
    recognizer = new Recognizer(this, this);
    loadModel();
    startCamera();
  }

  @Override
  protected void onPause() {
    resumed = false;
    // The camera first: the reader of its frames is closed on the recognizer's thread.
    stopCamera();
    recognizer.close();
    recognizer = null;
    super.onPause();
  }

  @Override
  protected void onSaveInstanceState(Bundle saved) {
    super.onSaveInstanceState(saved);
    saved.putBoolean(ASKED, asked);
  }

  @Override
  public void onRequestPermissionsResult(int code, String[] permissions, int[] results) {
    if (resumed && code == ASK_CAMERA) {
      startCamera();
    }
  }

  @Override
  protected void onActivityResult(int code, int result, Intent data) {
    if (code == PICK_MODEL && result == RESULT_OK && data != null && data.getData() != null) {
      choices.chooseDocument(data.getData());
    }
    // Also after nothing was picked: the list then shows what is loaded. Resuming loads it.
    lists.showModels();
  }

  @Override
  public void onModel(ModelSpec spec) {
    modelProblem = null;
    showProblems();
  }

  @Override
  public void onAnswer(Answer answer) {
    screen.showAnswer(answer);
  }

  @Override
  public void onModelProblem(String text) {
    modelProblem = text;
    showProblems();
  }

  @Override
  public void onCameraProblem(String text) {
    stopCamera();
    showCameraProblem(text, 0, null);
  }

  @Override
  public void surfaceCreated(SurfaceHolder holder) {}

  @Override
  public void surfaceChanged(SurfaceHolder holder, int format, int width, int height) {
    surfaceReady = true;
    openCamera();
  }

  @Override
  public void surfaceDestroyed(SurfaceHolder holder) {
    surfaceReady = false;
    stopCamera();
  }

  private void loadModel() {
    modelProblem = null;
    int index = choices.model();
    if (index < 0) {
      modelProblem = "There is no model in the app. Choose one from this phone.";
    } else {
      ModelSource source = choices.models().get(index);
      screen.showLoading(source);
      recognizer.load(source, choices.threads());
    }
    showProblems();
  }

  /** Finds the camera, and opens it as soon as the preview has its size. */
  private void startCamera() {
    cameraProblem = null;
    cameraAction = null;
    if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
      askForCamera();
      return;
    }
    CameraManager manager = (CameraManager) getSystemService(Context.CAMERA_SERVICE);
    try {
      camera =
          CameraChoice.find(manager, getWindowManager().getDefaultDisplay(), choices.front());
    } catch (CameraAccessException | IllegalArgumentException error) {
      showCameraProblem("The cameras cannot be listed: " + error.getMessage(), 0, null);
      return;
    }
    if (camera == null) {
      showCameraProblem("This phone has no camera that apps may use.", 0, null);
      return;
    }
    showProblems();
    screen.fitPreview(camera);
    screen.preview.getHolder().setFixedSize(camera.size.getWidth(), camera.size.getHeight());
    openCamera();
  }

  private void openCamera() {
    SurfaceHolder holder = screen.preview.getHolder();
    Rect size = holder.getSurfaceFrame();
    if (!resumed || !surfaceReady || camera == null || session != null
        || size.width() != camera.size.getWidth() || size.height() != camera.size.getHeight()) {
      return;
    }
    CameraManager manager = (CameraManager) getSystemService(Context.CAMERA_SERVICE);
    session = new CameraSession(manager, camera, holder.getSurface(), recognizer, this);
  }

  private void stopCamera() {
    camera = null;
    if (session != null) {
      session.close();
      session = null;
    }
  }

  private void askForCamera() {
    if (asked && !shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)) {
      // Android asks no more; only the settings can allow it now.
      showCameraProblem(
          getString(R.string.camera_denied),
          R.string.open_settings,
          new View.OnClickListener() {
            @Override
            public void onClick(View button) {
              Uri self = Uri.fromParts("package", getPackageName(), null);
              startActivity(new Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, self));
            }
          });
      return;
    }
    showCameraProblem(
        getString(R.string.camera_needed),
        R.string.allow_camera,
        new View.OnClickListener() {
          @Override
          public void onClick(View button) {
            requestPermissions(new String[] {Manifest.permission.CAMERA}, ASK_CAMERA);
          }
        });
    if (!asked) {
      asked = true;
      requestPermissions(new String[] {Manifest.permission.CAMERA}, ASK_CAMERA);
    }
  }

  private void showCameraProblem(String text, int actionText, View.OnClickListener action) {
    cameraProblem = text;
    cameraActionText = actionText;
    cameraAction = action;
    showProblems();
  }

  private void showProblems() {
    if (modelProblem == null && cameraProblem == null) {
      screen.hideProblem();
      return;
    }
    String text = modelProblem == null ? "" : modelProblem;
    if (cameraProblem != null) {
      text += (text.isEmpty() ? "" : "\n\n") + cameraProblem;
    }
    screen.showProblem(text, cameraActionText, cameraAction);
  }

  @Override
  public void onChoice() {
    if (resumed) {
      loadModel();
    }
  }

  @Override
  public void onPickDocument() {
    Intent intent = new Intent(Intent.ACTION_OPEN_DOCUMENT);
    intent.addCategory(Intent.CATEGORY_OPENABLE).setType("*/*");
    try {
      startActivityForResult(intent, PICK_MODEL);
    } catch (ActivityNotFoundException error) {
      onModelProblem(getString(R.string.no_picker));
      lists.showModels();
    }
  }
}
